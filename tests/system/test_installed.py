"""The fast check finds the entry points that the registry finds."""

from pathlib import Path

import pytest
from support.distributions import install

from resnetctl.registry import KINDS
from resnetctl.system.installed import some_mention, torchvision_remedy


def test_a_group_is_found_if_a_distribution_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path / "missing"), str(tmp_path / "site")])
    install(tmp_path / "site", "mine", {"arch": {"net": "mine_net:net"}}, code="")
    assert some_mention(KINDS["arch"].group)
    assert not some_mention(KINDS["command"].group)


def test_the_core_is_found_if_it_is_installed() -> None:
    assert some_mention("resnetctl.archs")


def test_an_entry_points_file_that_is_not_text_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[resnetctl.commands]")
    assert not some_mention("resnetctl.archs")


def raised(code: str, module: str) -> BaseException:
    """Return the error of `code` in a module of this name."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        exec(compile(code, f"{module}.py", "exec"), {"__name__": module})
    return caught.value


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "my_block"),
        ("import no_such_symbol_of_torch", "torchvision._meta_registrations"),
        ("raise AttributeError('partially initialized module')", "torchvision.extension"),
    ],
)
def test_a_torchvision_that_does_not_match_is_recognised(code: str, module: str) -> None:
    assert "pip install --force-reinstall torch torchvision" in torchvision_remedy(raised(code, module))


@pytest.mark.parametrize("code", ["1 / 0", "import no_such_module", "raise ModuleNotFoundError(name='torchvision')"])
def test_other_errors_are_not_blamed_on_torchvision(code: str) -> None:
    assert torchvision_remedy(raised(code, "my_block")) == ""
