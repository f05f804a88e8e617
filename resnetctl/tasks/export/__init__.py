"""`export`: a network as a file for other programs, checked before it gets its name."""

from resnetctl.tasks.export.form import Form, Gate, More, form_of
from resnetctl.tasks.export.int8 import Int8Options, Int8Settings
from resnetctl.tasks.export.task import ExportReport, export

__all__ = ["ExportReport", "Form", "Gate", "Int8Options", "Int8Settings", "More", "export", "form_of"]
