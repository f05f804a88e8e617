"""The examples run, and the reference lists the files and documents that a run writes."""

import http.client
import io
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from PIL import Image
from support.scripts import load_script

import resnetctl as rc
from resnetctl.__main__ import main
from resnetctl.config.layers import from_file, from_recipe, resolve
from resnetctl.config.schema import FinetuneConfig, TrainConfig

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the quick start (one epoch) and a folder of photos."""
    folder = tmp_path_factory.mktemp("bench")
    run(folder, "sh", EXAMPLES / "digits_quickstart.sh", "--epochs", "1", "--name", "first")
    run(folder, sys.executable, EXAMPLES / "make_photo_folder.py", "photos", "8")
    return folder


@pytest.fixture
def here(bench: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`bench` as the current folder of this process."""
    for key, value in environment(bench).items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(bench)
    return bench


@pytest.fixture
def document(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], dict[str, Any]]:
    def call(line: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*line.split(), "--json"]) == 0
        values: dict[str, Any] = json.loads(capsys.readouterr().out)
        return values

    return call


def environment(folder: Path) -> dict[str, str]:
    return {
        "RESNETCTL_DATA_DIR": str(folder / ".data"),
        "RESNETCTL_RUNS_DIR": "runs",
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


def run(folder: Path, *command: object) -> str:
    """Run a command and return its stdout; a failure shows its stderr."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder, env=os.environ | environment(folder), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_start_leaves_a_checked_file(bench: Path) -> None:
    assert (bench / "runs" / "first" / "export" / "model.onnx").stat().st_size > 1_000_000
    counts = [
        json.loads((bench / "runs" / "first" / "eval" / name).read_text())["correct"]
        for name in ("digits-test.json", "digits-test-onnx.json")
    ]
    assert counts[0] == counts[1] > 359 / 5, "the weights and the ONNX file count the same, and better than chance"


def test_the_photo_folder_has_classes_sizes_and_colours(bench: Path) -> None:
    paths = sorted((bench / "photos").glob("*/*.jpg"))
    assert len(paths) == 32
    assert {path.parent.name for path in paths} == {"zero", "one", "two", "three"}
    with Image.open(paths[0]) as first, Image.open(paths[1]) as second:
        assert first.mode == "RGB"
        assert first.size != second.size


def test_predicting_without_torch_agrees_with_predict(here: Path, document: Callable[[str], dict[str, Any]]) -> None:
    run(here, sys.executable, EXAMPLES / "make_photo_folder.py", "rotated", "10")
    run(here, sys.executable, EXAMPLES / "one_digit.py")
    pictures = [*sorted(here.glob("digit-?.png")), here / "rotated/zero/009.jpg", here / "photos/three/000.jpg"]
    glass = Image.open(here / "photos/two/000.jpg").convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize(glass.size))
    glass.save(here / "glass.png")
    pictures.append(here / "glass.png")
    assert len(pictures) == 4
    document("export first --onnx --input raw")
    for name in ("model.onnx", "model-raw.onnx"):
        model = here / "runs" / "first" / "export" / name
        printed = run(here, sys.executable, EXAMPLES / "predict_without_torch.py", model, *pictures)
        ours = document(" ".join(map(str, ["predict", model, *pictures])))["results"]
        expected = [
            f"{item['file']}\t{item['predictions'][0]['class']}\t{item['predictions'][0]['probability']:.4f}"
            for item in ours
        ]
        assert printed.splitlines() == expected


@pytest.mark.parametrize("page", ["tutorial/your-photos.md", "how-to/export.md"])
def test_the_short_script_of_a_page_gives_the_numbers_of_predict_for_any_shape(
    here: Path, document: Callable[[str], dict[str, Any]], page: str
) -> None:
    text = (EXAMPLES.parent / "docs" / page).read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(import[^`]*\"pixel_values\"[^`]*)```", text)
    run(here, sys.executable, EXAMPLES / "make_photo_folder.py", "shapes", "10")
    upright = Image.open(here / "photos/three/000.jpg").convert("RGB")
    for name, size in (("wide.png", (3 * upright.width, upright.height)), ("tall.png", (upright.width, 301))):
        canvas = Image.new("RGB", size, "white")
        canvas.paste(upright, (20, 10))
        canvas.save(here / name)
    document(f"finetune first --data ./photos --epochs 1 --name {page[:3]} --size 16")
    document(f"export {page[:3]} --onnx --out {page[:3]}.onnx")
    for picture in ("wide.png", "tall.png", "shapes/zero/009.jpg"):  # the last one has a rotation in EXIF
        lines = re.sub(r'Image\.open\("[^"]*"\)', f'Image.open("{picture}")', script)
        (here / "short.py").write_text(re.sub(r'"[\w-]*\.onnx"', f'"{page[:3]}.onnx"', lines))
        best = document(f"predict {page[:3]}.onnx {picture}")["results"][0]["predictions"][0]
        assert run(here, sys.executable, "short.py") == f"{best['class']} {best['probability']:.4f}\n"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("serve.py runs/last/export/model-raw.onnx", 3, ["runs/last/export/model-raw.onnx", "resnetctl runs list"]),
        ("serve.py runs/first/export/nix.onnx", 3, ["no such file", "resnetctl export runs/first --onnx"]),
        ("serve.py runs/first --port 99999", 1, ["port 99999", "--port"]),
        ("gradio_app.py nowhere.onnx", 3, ["no such file (nowhere.onnx)", "try resnetctl runs list"]),
        ("predict_without_torch.py", 2, ["MODEL.onnx IMAGE"]),
        ("predict_without_torch.py nowhere.onnx a.jpg", 3, ["nowhere.onnx: No such file", "resnetctl export RUN"]),
        ("predict_without_torch.py photos/zero/000.jpg a.jpg", 3, ["photos/zero/000.jpg is no ONNX file"]),
        ("predict_without_torch.py runs/first/export/model.onnx a.jpg", 3, ["a.jpg: No such file"]),
        ("predict_without_torch.py runs/first/export/model.onnx runs/first/config.toml", 3, ["is no image"]),
    ],
)
def test_an_example_says_in_one_line_which_file_it_cannot_use(
    bench: Path, line: str, code: int, words: list[str]
) -> None:
    script, *rest = line.split()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *rest],
        cwd=bench, env=os.environ | environment(bench), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert all(word in said for word in words), said


def test_the_server_says_that_its_port_is_taken(bench: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "serve.py"), "runs/first", "--port", str(port)],
            cwd=bench, env=os.environ | environment(bench), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: port {port}: ")
    assert said.endswith("choose another one with --port")


def test_predicting_without_torch_imports_neither_torch_nor_resnetctl() -> None:
    lines = (EXAMPLES / "predict_without_torch.py").read_text().splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"json", "sys", "collections", "numpy", "onnxruntime", "PIL"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_imports_public_modules_only(path: Path) -> None:
    imported = re.findall(r"^\s*(?:from|import) (resnetctl(?:\.\w+)*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(imported) <= {"resnetctl", "resnetctl.spec", "resnetctl.blocks", "resnetctl.errors", "resnetctl.testing"}


def test_the_python_api_example_trains_measures_and_exports(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "python_api.py"))["main"](1)
    printed = capsys.readouterr().out
    assert re.search(r"\d% on test \(95 % interval", printed)
    assert "resnet20: 269,434 parameters" in printed


def test_finetuning_on_the_photos_writes_a_summary(here: Path, document: Callable[[str], dict[str, Any]]) -> None:
    summary = document(
        f"finetune first --data ./photos --config {EXAMPLES / 'photos.toml'} --epochs 1 --early-stop 0 --name tuned"
    )
    assert keys("train") <= summary.keys()
    assert (summary["arch"], summary["data"]) == ("resnet20", "photos")
    assert document("data check photos")["failed"] is False


def test_the_recipes_are_configs() -> None:
    resolve(FinetuneConfig, [from_file(EXAMPLES / "photos.toml")])
    mine = resolve(TrainConfig, [from_file(EXAMPLES / "cifar10_fast.toml")]).config
    published = resolve(TrainConfig, [from_recipe("fast")]).config
    assert mine == published.model_copy(update={"val_fraction": 0.0, "keep": "last"})


def keys(command: str) -> set[str]:
    """Return the keys that the reference lists for a command's document."""
    page = (REFERENCE / "json.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| [^|]*`{re.escape(command)}`[^|]*\|[^|]*\| `([^`]+)` \|", page, re.MULTILINE)
    assert row is not None, f"json.md has no row for {command}"
    return set(row.group(1).split())


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("eval", "eval first"),
        ("predict", "predict first photos/zero/000.jpg"),
        ("export", "export first --onnx"),
        ("data list", "data list"),
        ("data get", "data get digits"),
        ("data show", "data show digits"),
        ("data check", "data check digits"),
        ("weights show", "weights show runs/first/model.safetensors"),
        ("runs list", "runs list"),
        ("runs show", "runs show first"),
        ("plugins list", "plugins list"),
        ("plugins check", "plugins check resnet20"),
        ("plugins new", "plugins new my-block"),
        ("config show", "config show --data digits"),
        ("train --dry-run", "train --data digits --epochs 1 --dry-run"),
    ],
)
def test_documents_have_the_keys_of_the_reference(
    document: Callable[[str], dict[str, Any]], command: str, line: str
) -> None:
    values = document(line)
    assert values.keys() == keys(command) | {"schema"}
    assert values["schema"] in (REFERENCE / "json.md").read_text(encoding="utf-8")


def test_every_file_of_a_run_is_in_the_reference(bench: Path) -> None:
    page = (REFERENCE / "files.md").read_text(encoding="utf-8")
    folder = bench / "runs" / "first"
    for path in (path.relative_to(folder) for path in folder.rglob("*") if path.is_file()):
        name = {"checkpoints": "checkpoints/step-000000410.safetensors", "eval": "eval/DATA-SPLIT.json"}
        assert f"`{name.get(path.parts[0], str(path))}`" in page, f"files.md says nothing of {path}"
    lines = [json.loads((folder / name).read_text().splitlines()[0]) for name in ("metrics.jsonl", "timings.jsonl")]
    for line in lines:
        assert set(line) <= set(re.findall(r"\w+", page))


def test_every_key_of_the_metadata_is_in_the_reference(bench: Path) -> None:
    page = (REFERENCE / "files.md").read_text(encoding="utf-8")
    properties = onnx.load(bench / "runs" / "first" / "export" / "model.onnx").metadata_props
    assert {item.key for item in properties} - set(re.findall(r"`([^`]+)`", page)) == set()


def test_the_server_answers_several_requests_at_once(here: Path) -> None:
    predictor = rc.Predictor("first", max_pixels=50_000_000)
    serving = load_script(EXAMPLES / "serve.py").server(predictor, port=0)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{serving.server_port}"
    pictures = [path.read_bytes() for path in sorted(here.glob("photos/*/*"))[:8]]

    def post(data: bytes) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, method="PUT"), timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    form = urllib.request.Request(url, b"--a", {"Content-Type": "multipart/form-data; boundary=a"}, method="POST")
    bad = {b"no picture": 422, b"": 400, solid_png(10_000): 422, bytes(21_000_000): 413}
    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(post, bad))
        connection = http.client.HTTPConnection("127.0.0.1", serving.server_port, timeout=60)
        connection.putrequest("PUT", "/")
        connection.putheader("Content-Length", "999999999999")
        connection.endheaders()
        too_long = connection.getresponse().status
        with pytest.raises(urllib.error.HTTPError, match="405") as looked:
            urllib.request.urlopen(url, timeout=60)
        with pytest.raises(urllib.error.HTTPError, match="415") as form_sent:
            urllib.request.urlopen(form, timeout=60)
        answers = list(pool.map(post, pictures))  # still alive
    serving.shutdown()
    serving.server_close()
    assert "curl -T" in json.load(looked.value)["problem"]
    assert "not a form" in json.load(form_sent.value)["problem"]
    assert [status for status, _ in refused] == list(bad.values())
    assert all(result["problem"] for _, result in refused)
    assert "10000x10000 pixels are over the limit" in refused[2][1]["problem"]
    assert too_long == 413
    assert [status for status, _ in answers] == [200] * len(pictures)
    assert [result["predictions"] for _, result in answers] == [
        predictor(picture, top=3)[0]["predictions"] for picture in pictures
    ]


def solid_png(side: int) -> bytes:
    """Return a picture of one colour: 100 million pixels take 12 kB."""
    content = io.BytesIO()
    Image.new("1", (side, side)).save(content, "PNG")
    return content.getvalue()


def test_the_gradio_app_shows_the_classes_of_predict(here: Path) -> None:
    module = load_script(EXAMPLES / "gradio_app.py")
    predictor = rc.Predictor("first")
    path = here / "photos/zero/000.jpg"
    with Image.open(path) as picture:
        shown = module.classify(predictor, picture)
    assert list(shown.items()) == [
        (guess["class"], guess["probability"]) for guess in predictor(path, top=5)[0]["predictions"]
    ]
    assert module.classify(predictor, None) == {}
    with pytest.raises(ValueError, match="value range"):
        module.classify(predictor, Image.new("F", (4, 4)))
    pytest.importorskip("gradio", reason="gradio is not installed: its page is not built")
    assert module.app(predictor).title == "resnet20"
