"""`predict` classifies image files, lists the unreadable ones, and needs no torch for ONNX."""

import base64
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.pictures import write_zip
from support.trained import CLASSES, IMAGE, card, make_pictures, make_run, make_store, network

from resnetctl import runs
from resnetctl.data.image_files import listed
from resnetctl.data.images import prepare
from resnetctl.data.reading.decode import SUFFIXES
from resnetctl.deploy.onnx_card import Input
from resnetctl.engine.metrics import probabilities
from resnetctl.engine.predictors import feature_predictor, torch_predictor
from resnetctl.errors import DataError, InputError, UsageError, WeightsError
from resnetctl.hints import Setting, in_shell
from resnetctl.spec import Calibration, Familiar, WeightsCard
from resnetctl.system import settings
from resnetctl.tasks import predict as task
from resnetctl.tasks.export import export
from resnetctl.tasks.predict import PredictOutcome, classified, predict
from resnetctl.tasks.targets import Opened


@pytest.fixture
def run() -> runs.RunDir:
    return make_run(card())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


def predicted(images: list[Path], **options: Any) -> PredictOutcome:
    return predict(None, images, settings=settings.load(), **options)


def test_every_class_gets_the_probability_of_the_network(run: runs.RunDir, pictures: Path) -> None:
    (result,) = predicted([pictures / "0.png"], top=3).results
    pixels = torch.from_numpy(prepare(pictures / "0.png", IMAGE).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        wanted = network()((pixels / 255 - 0.4) / 0.3).softmax(1)[0]
    assert dict(result.guesses) == pytest.approx(dict(zip(CLASSES, wanted.tolist(), strict=True)), abs=1e-6)
    shares = [share for _, share in result.guesses]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (9, 3)])
def test_top_lists_at_most_all_classes(run: runs.RunDir, pictures: Path, top: int, count: int) -> None:
    assert len(predicted([pictures / "0.png"], top=top).results[0].guesses) == count


def test_the_json_document_lists_files_and_classes(run: runs.RunDir, pictures: Path) -> None:
    document = json.loads(json.dumps(predicted([pictures / "0.png"], top=2).to_json()))
    assert document["schema"] == "resnetctl.predict/1"
    (result,) = document["results"]
    assert result["file"] == str(pictures / "0.png")
    assert [sorted(guess) for guess in result["predictions"]] == [["class", "probability"]] * 2


def test_batches_keep_the_order_of_the_files(run: runs.RunDir, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [pictures / f"{number}.png" for number in (4, 0, 3, 1, 2, 0, 4)]
    whole = predicted(files)
    monkeypatch.setattr(task, "BATCH", 2)
    pieces = predicted(files)
    assert [item.file for item in pieces.results] == files == [item.file for item in whole.results]
    for one, other in zip(whole.results, pieces.results, strict=True):
        assert one.guesses[0][0] == other.guesses[0][0]
        assert one.guesses[0][1] == pytest.approx(other.guesses[0][1], abs=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 200])
def test_the_batch_size_does_not_change_the_predictions(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image gets the same guesses as alone: best first, and the first class wins a tie."""
    monkeypatch.setattr(task, "BATCH", batch)
    logits = np.random.default_rng(0).integers(-3, 4, (200, 3)).astype(np.float32)
    opened = Opened(card=card(), digest="", predict=lambda images: logits[images[:, 0, 0, 0]])
    pixels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 8, 8, 1))
    predictions = list(classified(opened, listed(pixels, ignored=Counter()), top=2))
    for row, item in zip(logits, predictions, strict=True):
        (shares,) = probabilities(row[None])
        order = sorted(range(3), key=lambda place: (-shares[place], place))[:2]
        assert item.guesses == tuple((CLASSES[place], shares[place]) for place in order)


def test_a_folder_stands_for_all_its_images_sorted(run: runs.RunDir, pictures: Path) -> None:
    make_pictures(pictures / "deep", 1)
    make_pictures(pictures / ".hidden", 1)
    (pictures / "notes.txt").write_text("no image")
    names = [str(item.file.relative_to(pictures)) for item in predicted([pictures]).results]
    assert names == ["0.png", "1.png", "2.png", "3.png", "4.png", "deep/0.png"]


def test_predict_and_data_add_read_the_same_files_of_a_folder(run: runs.RunDir, pictures: Path) -> None:
    assert {".jfif", ".png"} <= SUFFIXES
    for suffix in SUFFIXES:
        shutil.copy(pictures / "0.png", pictures / f"all{suffix}")
    assert {item.file.suffix for item in predicted([pictures]).results} == SUFFIXES


def test_bad_files_do_not_stop_the_good_ones(run: runs.RunDir, pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    (pictures / "empty").mkdir()
    files = [pictures / name for name in ("0.png", "bad.png", "gone.png", "empty", "1.png")]
    outcome = predicted(files)
    assert [item.file for item in outcome.results] == files
    assert [bool(item.problem) for item in outcome.results] == [False, True, True, True, False]
    assert [bool(item.guesses) for item in outcome.results] == [True, False, False, False, True]
    assert outcome.to_json()["results"][3] == {
        "file": str(files[3]),
        "predictions": [],
        "problem": "the folder has no image",
    }
    assert [line.partition(":")[0] for line in outcome.problems] == [str(path) for path in files[1:4]]
    with pytest.raises(DataError, match="3 images cannot be read") as caught:
        outcome.require()
    assert caught.value.problems == outcome.problems
    assert caught.value.exit_code == 3


def test_files_of_a_folder_that_are_no_images_are_counted_by_kind(run: runs.RunDir, pictures: Path) -> None:
    for name in ("notes.txt", "a.TXT", ".hidden"):
        (pictures / name).write_bytes(b"")
    names = ", ".join(str(pictures / name) for name in (".hidden", "a.TXT", "notes.txt"))
    assert predicted([pictures]).notices == (f"skipped 3 files (.txt: 2, hidden: 1): {names}",)
    assert predicted([pictures / "0.png"]).notices == ()


def test_the_hint_for_images_over_the_limit_reads_all_of_them(run: runs.RunDir, pictures: Path) -> None:
    outcome = predicted([pictures], max_pixels=120)
    with pytest.raises(DataError, match="3 images cannot be read; the others are classified") as caught:
        outcome.require()
    assert caught.value.hint == (Setting("max_pixels", 156),)
    predicted([pictures], max_pixels=156).require()


def test_require_passes_when_every_file_is_readable(run: runs.RunDir, pictures: Path) -> None:
    outcome = predicted([pictures])
    outcome.require()
    assert outcome.problems == ()


def test_a_missing_target_or_image_is_a_usage_error(run: runs.RunDir, pictures: Path) -> None:
    with pytest.raises(UsageError, match="no image"):
        predicted([])
    with pytest.raises(UsageError, match="first argument must be") as caught:
        predict("a dog.JPG", ["b.png"], settings=settings.load())
    assert in_shell(caught.value.hint[0]) == "resnetctl predict last 'a dog.JPG' b.png"
    with pytest.raises(UsageError, match="first argument must be") as caught:
        predict("-a.png", ["b.png", "c.png"], settings=settings.load())
    assert in_shell(caught.value.hint[0]) == "resnetctl predict last -- -a.png b.png ..."
    with pytest.raises(UsageError, match="cannot be listed"):
        predicted([pictures], top=0)


def test_an_onnx_file_needs_neither_torch_nor_onnx(pictures: Path) -> None:
    """Run the command line in a process that cannot import these packages."""
    make_run(card(make_store()))
    files = [export(None, settings=settings.load(), input=input).path for input in ("float", "raw")]
    program = """
import sys
absent = ("torch", "torchvision", "onnx", "onnxscript", "google.protobuf", "safetensors.torch")
sys.modules.update(dict.fromkeys(absent))  # importing one is now an ImportError
from resnetctl.__main__ import main
for file in sys.argv[1:3]:
    assert main(["predict", file, sys.argv[3], "--top", "3", "--json"]) == 0
for file in sys.argv[1:3]:
    assert main(["eval", file]) == 0
assert not any(sys.modules.get(name) for name in absent)
"""
    argv = [sys.executable, "-c", program, *map(str, files), str(pictures)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rest = done.stdout
    for _ in files:
        document, end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:].lstrip()
        for mine, theirs in zip(predicted([pictures], top=3).results, document["results"], strict=True):
            guesses = {guess["class"]: guess["probability"] for guess in theirs["predictions"]}
            assert dict(mine.guesses) == pytest.approx(guesses, abs=1e-6)


def test_a_damaged_onnx_file_is_refused(machine: Path, pictures: Path) -> None:
    (machine / "m.onnx").write_bytes(b"\x08\x0anonsense")
    with pytest.raises(WeightsError):
        predict("m.onnx", [pictures], settings=settings.load())


def calibrated(threshold: float) -> WeightsCard:
    return card(calibration=Calibration(temperature=4.0, sets={"0.9": threshold, "0.95": 0.0}, images=120))


def test_probabilities_have_the_temperature_of_the_card(pictures: Path) -> None:
    make_run(calibrated(0.5))
    (result,) = predicted([pictures / "0.png"], top=3).results
    pixels = prepare(pictures / "0.png", IMAGE)[None]
    logits = torch_predictor(network(), IMAGE, device=torch.device("cpu"))(pixels)
    wanted = dict(zip(CLASSES, probabilities(logits / 4)[0].tolist(), strict=True))
    assert dict(result.guesses) == pytest.approx(wanted, abs=1e-6)
    assert result.classes is None
    assert "set" not in result.to_json()


def test_a_prediction_set_holds_the_classes_above_the_threshold(pictures: Path) -> None:
    make_run(calibrated(1 / 3))
    for result in predicted([pictures], top=3, level=0.9).results:
        wanted = tuple(name for name, share in result.guesses if share >= 1 / 3)
        assert result.classes == wanted
        assert result.to_json()["set"] == list(wanted)
    for result in predicted([pictures], level=0.95).results:
        assert sorted(result.classes or ()) == list(CLASSES)


def test_an_onnx_file_has_the_sets_of_its_weights(pictures: Path) -> None:
    run = make_run(calibrated(1 / 3))
    export(None, settings=settings.load(), gate="synthetic")
    mine = predicted([pictures], top=3, level=0.9).results
    theirs = predict(run.onnx, [pictures], settings=settings.load(), top=3, level=0.9).results
    assert [item.classes for item in mine] == [item.classes for item in theirs]
    for one, other in zip(mine, theirs, strict=True):
        assert dict(one.guesses) == pytest.approx(dict(other.guesses), abs=1e-6)


@pytest.mark.parametrize(("level", "text"), [(0.0, "fraction between"), (90.0, "fraction between"), (0.8, "level 0.8")])
def test_a_level_without_a_threshold_is_refused(level: float, text: str, pictures: Path) -> None:
    make_run(calibrated(0.5))
    with pytest.raises(UsageError, match=text):
        predicted([pictures], level=level)


def test_weights_without_sets_say_how_to_get_them(run: runs.RunDir, pictures: Path) -> None:
    with pytest.raises(InputError, match="no prediction sets") as caught:
        predicted([pictures], level=0.9)
    line = in_shell(caught.value.hint[0])
    assert "resnetctl report" in line
    assert "--data NAME" in line  # val of its own data is too small, or unknown


def knowing(limit: float) -> WeightsCard:
    """Return a card whose only mean is the direction of the first feature."""
    mean = base64.b64encode(bytes([127, *[0] * 7])).decode()
    familiar = Familiar(means=(mean,), limit=limit, level=0.99)
    return card(calibration=Calibration(temperature=1.0, sets={"0.9": 0.1}, images=120, familiar=familiar))


def test_a_picture_beyond_the_limit_is_strange(pictures: Path) -> None:
    make_run(knowing(limit=2.0))
    plain = predicted([pictures], top=3).results
    pixels = np.stack([prepare(pictures / f"{number}.png", IMAGE) for number in range(5)])
    _, features = feature_predictor(network(), IMAGE, device=torch.device("cpu"))(pixels)
    assert features is not None
    cosine = features[:, 0] / np.linalg.norm(features, axis=1)
    assert [item.distance for item in plain] == pytest.approx(np.sqrt(2 - 2 * cosine).tolist(), abs=1e-6)
    assert {item.is_strange for item in plain} == {False}
    limit = float(np.median([item.distance for item in plain if item.distance is not None]))
    make_run(knowing(limit=limit), name="second")
    strict = predicted([pictures], top=3).results
    assert [item.is_strange for item in strict] == [item.distance > limit for item in plain if item.distance]
    assert [item.guesses for item in strict] == [item.guesses for item in plain], "the answer stays the same"
    document = strict[0].to_json()
    assert (document["strange"], document["distance"]) == (strict[0].is_strange, strict[0].distance)


def test_weights_without_means_say_nothing_about_strangers(pictures: Path) -> None:
    make_run(calibrated(0.5))
    assert "strange" not in predicted([pictures]).results[0].to_json()


@pytest.mark.parametrize("input", ["float", "raw"])
def test_an_onnx_file_knows_strangers_as_its_weights_do(pictures: Path, input: Input) -> None:
    run = make_run(knowing(limit=0.5))
    file = export(None, settings=settings.load(), gate="synthetic", input=input).path
    theirs, ours = (predict(target, [pictures], settings=settings.load()).results for target in (file, run.path))
    assert [item.distance for item in theirs] == pytest.approx([item.distance for item in ours], abs=1e-4)
    assert [item.is_strange for item in theirs] == [item.is_strange for item in ours]


def test_means_of_another_network_are_refused(pictures: Path) -> None:
    familiar = Familiar(means=("AAAA",), limit=1.0, level=0.99)
    make_run(card(calibration=Calibration(temperature=1.0, sets={}, images=120, familiar=familiar)))
    with pytest.raises(WeightsError, match="about 3 features, the network has 8"):
        predicted([pictures])
    file = export(None, settings=settings.load(), gate="synthetic").path
    with pytest.raises(WeightsError, match="about 3 features, the network has 8"):
        predict(file, [pictures], settings=settings.load())


def test_archives_and_patterns_are_read_as_folders_are(run: runs.RunDir, pictures: Path, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "x.zip", {file.name: file.read_bytes() for file in sorted(pictures.iterdir())})
    wanted = [item.guesses for item in predicted([pictures], batch=2).results]
    for source in (archive, pictures / "*.png"):
        assert [item.guesses for item in predicted([source], batch=2).results] == wanted
    assert [str(item.file) for item in predicted([archive]).results] == [f"{archive}/{n}.png" for n in range(5)]


def test_many_images_show_their_progress(run: runs.RunDir, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "REPORT_EVERY", 2)
    facts = list(task.predicting(None, [pictures], settings=settings.load()))
    assert [(fact.done, fact.total) for fact in facts] == [(5, 5), (5, 5), (5, 5)]
    assert list(task.predicting(None, [pictures / "0.png"], settings=settings.load())) == []
