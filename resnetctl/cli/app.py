"""The Typer app: `resnetctl.cli.app:app`.

`other.add_typer(app, name="resnet")` mounts it in another app; `typer.testing.CliRunner().invoke(app, ["runs"])`
runs it in a test.
"""

import typer

from resnetctl.cli.apps import group_app
from resnetctl.cli.verbs import ROOT


def _of_all_verbs() -> typer.Typer:
    return group_app(ROOT, completion=True)


app = _of_all_verbs()
