"""The options of `compress` are all open, so that a run goes on by its name alone."""

from resnetctl.cli.parser.compress_options import CompressOptions


def test_everything_may_be_left_out() -> None:
    options = CompressOptions(name="small")
    asked = options.model_dump(exclude_defaults=True)
    assert asked == {"name": "small"}
