"""The Typer app: `resnetctl.cli.app:app`.

`other.add_typer(app, name="resnet")` mounts it in another app; `typer.testing.CliRunner().invoke(app, ["runs"])`
runs it in a test.
"""

from resnetctl.cli.apps import group_app
from resnetctl.cli.verbs import ROOT

app = group_app(ROOT, completion=True)
