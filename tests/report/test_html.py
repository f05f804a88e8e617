"""HTML tables of reports escape all text."""

from resnetctl.report.html import table


def test_a_table_has_a_row_for_each_pair() -> None:
    assert table([("a", "1"), ("b", "2")], caption="c") == (
        "<table>\n<caption>c</caption>\n<tr><th>a</th><td>1</td></tr>\n<tr><th>b</th><td>2</td></tr>\n</table>"
    )


def test_text_of_others_cannot_become_markup() -> None:
    text = table([("<script>", 'x" onload="y')], caption="a&b")
    assert "<script>" not in text
    assert 'x" onload' not in text
    assert "a&amp;b" in text
