"""HTML tables of reports escape all text."""

from resnetctl.notebook_tables import grid, table


def test_a_table_has_a_row_for_each_pair() -> None:
    assert table([("a", "1"), ("b", "2")], caption="c") == (
        "<table>\n<caption>c</caption>\n<tr><th>a</th><td>1</td></tr>\n<tr><th>b</th><td>2</td></tr>\n</table>"
    )


def test_text_of_others_cannot_become_markup() -> None:
    text = table([("<script>", 'x" onload="y')], caption="a&b")
    assert "<script>" not in text
    assert 'x" onload' not in text
    assert "a&amp;b" in text


def test_a_grid_has_a_line_for_each_row_under_the_names() -> None:
    assert grid([{"a": "1", "b": "<2>"}, {"a": "3", "b": "4"}], caption="<c>") == (
        "<table>\n<caption>&lt;c&gt;</caption>\n<tr><th>a</th><th>b</th></tr>\n"
        "<tr><td>1</td><td>&lt;2&gt;</td></tr>\n<tr><td>3</td><td>4</td></tr>\n</table>"
    )
    assert grid([], caption="") == "<table>\n<caption></caption>\n<tr></tr>\n</table>"
