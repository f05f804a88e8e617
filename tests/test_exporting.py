"""The types of exporters: built-in exporters have the members that the protocol names."""

from pathlib import Path

from support.trained import card

from resnetctl import registry
from resnetctl.exporting import Bundle, Exporter


def test_the_built_in_exporters_are_exporters() -> None:
    members = {name for name in vars(Exporter) if not name.startswith("_")}
    assert members == {"name", "summary", "write", "open"}
    for name in registry.names("exporter"):
        exporter = registry.get("exporter", name)
        assert exporter.name == name
        assert all(hasattr(exporter, member) for member in members)


def test_a_bundle_cannot_be_changed() -> None:
    bundle = Bundle(card=card(), onnx=b"", input="raw", weights=Path("model.safetensors"))
    assert bundle.__dataclass_params__.frozen
