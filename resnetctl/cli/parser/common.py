"""The options that every command has, apart from the others: the first help screen needs no more than these."""

from pydantic import BaseModel, ConfigDict

from resnetctl.config.options import USED, option


class Options(BaseModel):
    """What is declared here is validated by one command at most: no validator is built before it is needed."""

    model_config = ConfigDict(defer_build=True)


class HelpOptions(Options):
    """What every command and group takes."""

    help: bool = option(False, "The most used options and examples", short="-h", panel="Help")
    help_all: bool = option(False, "Every option", panel="Help")


class Global(Options):
    """Before or after the verb."""

    no_plugins: bool = option(False, "Leave every plugin out: the core only", panel="Global")
    debug: bool = option(False, "On an error, print the traceback", panel="Global")


class RootOptions(Global, HelpOptions):
    """Options of `resnetctl` itself."""

    version: bool = option(False, "Print the version", short="-V", panel="Global")
    as_json: bool = option(False, "With --version: one JSON document", flag="--json", panel="Global")


class Common(Global):
    """What every command takes."""

    as_json: bool = option(False, "One JSON document on stdout", flag="--json", panel=USED)
