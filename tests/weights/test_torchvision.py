"""torchvision's weights have a complete source, and are fetched once, from a local server here."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from resnetctl.errors import DataError, UsageError, WeightsError
from resnetctl.hints import in_shell
from resnetctl.models.archs import resnet18
from resnetctl.models.resnet import build
from resnetctl.spec import ImageSpec
from resnetctl.weights import torchvision as torchvision_weights
from resnetctl.weights.torchvision import FOLDER, NAMES, Source, fetch, official, recognise


class Server(http.server.ThreadingHTTPServer):
    """Serve one folder on this machine and count the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests = folder, 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def translate_path(self, path: str) -> str:
        self.server.requests += 1
        return str(self.server.folder / path.lstrip("/"))

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(folder) as local:
        thread = threading.Thread(target=local.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield local
        local.shutdown()
        thread.join()


def published(server: Server, *, classes: int = 3, digest: str | None = None) -> tuple[Source, dict[str, torch.Tensor]]:
    """Publish weights as torchvision does: its own network, with few classes."""
    torch.manual_seed(0)
    state = torchvision.models.resnet18(num_classes=classes).state_dict()
    torch.save(state, server.folder / "fake.pth")
    sha256 = digest or hashlib.sha256((server.folder / "fake.pth").read_bytes()).hexdigest()[:8]
    (server.folder / "fake.pth").rename(server.folder / f"resnet18-{sha256}.pth")
    source = Source(
        url=f"{server.address}/resnet18-{sha256}.pth",
        sha256=sha256,
        arch=resnet18,
        classes=("a", "b", "c"),
        image=ImageSpec(size=224, resize=256),
    )
    return source, state


@pytest.mark.parametrize("name", NAMES)
def test_the_official_source_is_complete(name: str) -> None:
    source = official(name)
    assert source.url.startswith("https://download.pytorch.org/models/" + name)
    assert f"-{source.sha256}.pth" in source.url
    assert len(source.sha256) == 8
    assert len(set(source.classes)) == 1000
    assert (source.image.size, source.image.interpolation) == (224, "bilinear")
    assert source.image.resize in (232, 256)
    assert source.image.mean == (0.485, 0.456, 0.406)
    assert source.image.std == (0.229, 0.224, 0.225)
    assert source.arch.name == name


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no weights 'resnet19'") as caught:
        official("resnet19")
    assert "did you mean" in caught.value.hint[0]
    with pytest.raises(UsageError):
        fetch("vgg16", Path("unused"))


def test_an_address_without_a_digest_is_refused() -> None:
    assert torchvision_weights._published_digest("https://x/resnet18-f37072fd.pth") == "f37072fd"
    with pytest.raises(WeightsError, match="no digest"):
        torchvision_weights._published_digest("https://x/resnet18.pth")


def test_fetch_downloads_verifies_converts_and_caches(server: Server, tmp_path: Path) -> None:
    source, state = published(server)
    data_dir = tmp_path / "data"
    loaded = fetch("resnet18", data_dir, source=source)
    assert (data_dir / FOLDER / source.url.rpartition("/")[2]).is_file()
    assert list(loaded.state) == list(state)
    assert all(torch.equal(loaded.state[name], tensor) for name, tensor in state.items())
    assert (loaded.card.classes, loaded.card.image, loaded.card.arch.stem) == (source.classes, source.image, "imagenet")

    requests = server.requests
    assert fetch("resnet18", data_dir, source=source).card == loaded.card
    assert server.requests == requests


def test_fetched_weights_compute_the_same_as_torchvision(server: Server, tmp_path: Path) -> None:
    source, state = published(server)
    loaded = fetch("resnet18", tmp_path / "data", source=source)
    ours = build(loaded.card.arch, classes=3, image=loaded.card.image).eval()
    ours.load_state_dict(dict(loaded.state))
    theirs = torchvision.models.resnet18(num_classes=3).eval()
    theirs.load_state_dict(state)
    pictures = torch.randn(1, 3, 224, 224)
    assert torch.equal(ours(pictures), theirs(pictures))


def test_another_digest_is_an_input_error_and_leaves_no_file(server: Server, tmp_path: Path) -> None:
    source, _ = published(server, digest="00000000")
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        fetch("resnet18", tmp_path / "data", source=source)
    assert caught.value.exit_code == 3
    assert any("sha256" in line for line in caught.value.problems)
    assert not list((tmp_path / "data").rglob("*.pth"))


def test_without_a_network_the_hint_says_where_to_put_the_file(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/resnet18-f37072fd.pth"  # the discard port: nobody listens
    source = Source(url=url, sha256="f37072fd", arch=resnet18, classes=("a",), image=ImageSpec(size=224))
    with pytest.raises(DataError) as caught:
        fetch("resnet18", tmp_path / "data", source=source)
    download, import_ = caught.value.hint
    assert url in download
    assert str(tmp_path / "data" / FOLDER / "resnet18-f37072fd.pth") in download
    assert in_shell(import_).startswith(
        "resnetctl weights import resnet18-f37072fd.pth --arch resnet18 --out resnet18.safetensors"
    )


def test_a_copy_of_published_weights_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copy.pth").write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()[:8]
    source = Source(url="https://x/", sha256=sha256, arch=resnet18, classes=("a",), image=ImageSpec(size=224))
    monkeypatch.setattr(torchvision_weights, "official", lambda name: source)
    assert recognise(tmp_path / "copy.pth", "resnet18") == source
    assert recognise(tmp_path / "copy.pth", "resnet20") is None
    assert recognise(tmp_path / "missing.pth", "resnet18") is None
    (tmp_path / "copy.pth").write_bytes(b"other weights")
    assert recognise(tmp_path / "copy.pth", "resnet18") is None


def test_weights_for_other_classes_are_refused(server: Server, tmp_path: Path) -> None:
    source, _ = published(server, classes=4)
    with pytest.raises(WeightsError, match="2 keys do not match"):
        fetch("resnet18", tmp_path / "data", source=source)
