"""All commands share these options; the first help screen needs no others."""

import subprocess
import sys

import pytest
from pydantic import BaseModel

from resnetctl.cli.parser import common
from resnetctl.config.options import flags


@pytest.mark.parametrize("model", [common.HelpOptions, common.RootOptions, common.Common])
def test_flags_are_well_formed(model: type[BaseModel]) -> None:
    assert [flag.key for flag in flags(model)] == list(model.model_fields)
    for flag in flags(model):
        assert flag.help, flag
        assert "_" not in flag.flag, flag


def test_no_validator_is_built_before_it_is_used() -> None:
    program = """
from resnetctl.cli.parser.common import Common
assert not Common.__pydantic_complete__
assert Common(debug=True).debug
assert Common.__pydantic_complete__
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_first_screen_needs_no_parser_and_no_other_options() -> None:
    program = """
import sys
from resnetctl.__main__ import main
assert main(["--help"]) == 0
absent = {"typer", "rich", "resnetctl.cli.parser.option_models", "resnetctl.config.schema", "resnetctl.registry"}
print(sorted(absent & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
