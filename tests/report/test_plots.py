"""Every plot is an SVG with the table of its numbers."""

from xml.etree import ElementTree

from support.report_documents import EPOCHS, NAMES, make_document

from resnetctl.report.plots import MAX_ROWS, confusion, curves, plots, reliability, shortened


def test_a_report_has_its_plots_in_order() -> None:
    names = [plot.name for plot in plots(make_document(), EPOCHS)]
    assert names == ["confusion", "reliability", "abstaining", "comparison", "loss", "accuracy", "learning-rate"]
    assert [plot.name for plot in plots(make_document(against=False), ())] == names[:3]


def test_each_plot_is_xml_with_a_title_and_rows_as_wide_as_the_header() -> None:
    for plot in plots(make_document(), EPOCHS):
        tree = ElementTree.fromstring(plot.drawing)
        assert tree[0].tag.endswith("title")
        assert tree[0].text
        assert plot.rows
        assert {len(row) for row in plot.rows} == {len(plot.header)}


def test_a_file_holds_its_style() -> None:
    data = reliability(make_document()).file(".plot { fill: red } /* <&> */")
    tree = ElementTree.fromstring(data)
    assert tree[0].text == ".plot { fill: red } /* <&> */"


def test_a_matrix_names_each_mistake() -> None:
    plot = confusion(make_document())
    titles = [item.text or "" for item in ElementTree.fromstring(plot.drawing).iter() if item.tag.endswith("title")]
    assert any(title.startswith(f"{NAMES[0]} taken for {NAMES[1]}: ") for title in titles)


def test_many_classes_have_no_drawn_matrix() -> None:
    document = make_document(against=False)
    row = document["accuracy"]["per_class"][0]
    document["accuracy"] = {**document["accuracy"], "per_class": [row] * 26}
    assert "confusion" not in [plot.name for plot in plots(document, ())]


def test_curves_need_two_epochs_and_shorten_long_tables() -> None:
    assert list(curves(EPOCHS[:1])) == []
    lines = [{"epoch": epoch, "train_loss": 1.0, "lr": 0.1} for epoch in range(1, 301)]
    loss, rate = curves(lines)
    assert (loss.header, rate.name) == (("epoch", "train"), "learning-rate")
    assert len(loss.rows) <= MAX_ROWS + 1
    assert loss.rows[-1][0] == "300"


def test_numbers_that_are_not_finite_are_left_out() -> None:
    lines = [{"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate((1.0, float("nan"), 0.5), start=1)]
    (loss,) = curves(lines)
    assert loss.rows[1] == ("2", "")
    assert "nan" not in loss.drawing


def test_long_names_are_shortened() -> None:
    assert shortened("x" * 16) == "x" * 16
    assert shortened("x" * 17) == "x" * 15 + "…"
