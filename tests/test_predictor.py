"""A held predictor classifies pictures from files and from memory, in several threads, and its memory stays flat."""

import gc
import io
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import heads
from support.trained import CLASSES, card, make_pictures, make_run, make_store, network
from torch import Tensor, nn

import resnetctl as rc
from resnetctl.errors import DataError, ResnetctlWarning, UsageError
from resnetctl.predictor import PictureResult
from resnetctl.system import settings
from resnetctl.tasks import predict as task
from resnetctl.tasks.export import export
from resnetctl.weights.file import to_bytes


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def weights(machine: Path) -> Path:
    path = machine / "net.safetensors"
    path.write_bytes(to_bytes(network().state_dict(), card()))
    return path


def classes(results: list[PictureResult]) -> list[str]:
    return [result["predictions"][0]["class"] for result in results]


def test_one_path_is_one_picture_as_text_and_as_a_path(weights: Path, pictures: Path) -> None:
    file = pictures / "0.png"
    (wanted,) = rc.predict(weights, [file])
    assert wanted["file"] == str(file)
    assert wanted["problem"] is None
    assert rc.predict(weights, str(file)) == rc.predict(weights, file) == [wanted]


def test_every_picture_has_one_result_in_order_with_its_problem(weights: Path, pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no image")
    files = [pictures / name for name in ("gone.png", "1.png", "bad.png", "0.png")]
    results = rc.predict(weights, files, top=2)
    assert [result["file"] for result in results] == [str(file) for file in files]
    assert [len(result["predictions"]) for result in results] == [0, 2, 0, 2]
    problems = [result["problem"] for result in results]
    assert "no such file" in str(problems[0])
    assert "not a JPEG" in str(problems[2])
    assert rc.predict(weights, []) == []


def test_a_folder_is_expanded_and_what_is_skipped_is_a_warning(weights: Path, pictures: Path) -> None:
    (pictures / "notes.txt").write_text("")
    with pytest.warns(ResnetctlWarning, match=r"skipped 1 file \(.txt: 1\): \S+\.txt$") as caught:
        results = rc.predict(weights, pictures)
    assert [result["file"] for result in results] == [str(pictures / f"{number}.png") for number in range(5)]
    assert caught[0].filename == __file__


def test_a_run_weights_and_an_onnx_file_give_the_same_classes(pictures: Path) -> None:
    run = make_run(card(make_store()))
    for input in ("float", "raw"):
        export(None, settings=settings.load(), input=input)
    targets = (None, run.path, "first", run.weights, run.onnx, run.raw_onnx)
    held = [rc.Predictor(target) for target in targets]
    assert len({tuple(classes(predictor(pictures))) for predictor in held}) == 1
    assert repr(held[0]) == "Predictor(tiny, 3 classes)"
    assert held[0].card.classes == CLASSES


def test_bytes_arrays_and_pil_images_are_pictures(weights: Path, pictures: Path) -> None:
    predictor, file = rc.Predictor(weights, top=3), pictures / "2.png"
    image = Image.open(file)
    array = np.asarray(image)
    wanted = predictor(file)[0]["predictions"]
    for picture in (file.read_bytes(), image, array):
        assert predictor(picture) == [{"file": None, "predictions": wanted, "problem": None}]
    assert [len(predictor(several)) for several in ([file, array], np.stack([array, array]), array[..., 0])] == [
        2,
        2,
        1,
    ]
    assert len(predictor.predict(file, top=1)[0]["predictions"]) == 1
    (wrong,) = predictor([3])  # type: ignore[list-item]
    assert wrong["problem"] == "an image is a path, bytes, a file, a uint8 array or a PIL image, not an int"
    assert predictor(array.astype(float))[0]["predictions"] == []


def test_an_image_over_the_limit_is_a_problem_of_its_own(weights: Path, pictures: Path) -> None:
    problems = [result["problem"] for result in rc.predict(weights, pictures, max_pixels=120)]
    assert [bool(problem) for problem in problems] == [False, False, True, True, True]
    assert "over the limit of 120" in str(problems[2])


def test_wrong_arguments_are_usage_errors(weights: Path, pictures: Path) -> None:
    with pytest.raises(UsageError, match="cannot be listed"):
        rc.Predictor(weights, top=0)
    with pytest.raises(UsageError, match="cannot be listed"):
        rc.Predictor(weights)(pictures, top=0)
    with pytest.raises(UsageError, match="no device"):
        rc.Predictor(weights, device="cuda:99")


def test_torch_keeps_its_number_of_threads(weights: Path, pictures: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rc.predict(weights, pictures)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_threads_predict_from_a_run_while_another_thread_calls_its_own_module(pictures: Path) -> None:
    """Each call loads the run: nothing that loads or predicts may patch the process."""
    run, wrong, ended = make_run(card()), [], threading.Event()
    innocent = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def call() -> int:
        count = 0
        while not ended.is_set():
            count += 1
            try:
                if not isinstance(innocent(torch.ones(1, 4)), Tensor):
                    wrong.append("no tensor")
            except Exception as error:
                wrong.append(repr(error))
        return count

    wanted = classes(rc.predict(run.path, pictures))
    with ThreadPoolExecutor(9) as pool:
        calls = pool.submit(call)
        results = list(pool.map(lambda _: classes(rc.predict(run.path, pictures)), range(16)))
        ended.set()
    assert results == [wanted] * 16
    assert calls.result() > 0
    assert wrong == []


def test_threads_share_one_predictor(weights: Path, pictures: Path) -> None:
    predictor, files = rc.Predictor(weights), [pictures / f"{number}.png" for number in range(5)]
    wanted = [classes(predictor(file)) for file in files]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda file: classes(predictor(file)), files * 20)) == wanted * 20


def test_a_thousand_predictions_keep_memory_flat(weights: Path, pictures: Path) -> None:
    predictor, file = rc.Predictor(weights), pictures / "0.png"

    def grown(count: int) -> int:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(count):
            predictor(file)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        grown(50)
        assert grown(1000) < 50_000
    finally:
        tracemalloc.stop()


@pytest.fixture
def tiny_heads() -> Iterator[None]:
    with heads.registered():
        yield


@pytest.mark.usefixtures("tiny_heads")
def test_a_detector_gives_the_boxes_of_predict_for_files_and_memory(tmp_path: Path) -> None:
    heads.stored("boxes", tmp_path)
    run, file = heads.run("boxes", "epochs=1").path, tmp_path / "boxes/JPEGImages/p00.jpg"
    predictor = rc.Predictor(run, min_score=0.2, out=tmp_path / "drawn")
    with Image.open(file) as picture:
        pixels = np.asarray(picture)
    listed, in_memory, bad = predictor([file, pixels, b"no picture"])
    (expected,) = task.predict(run, [file], settings=settings.load(), min_score=0.2).results
    assert listed["boxes"] == expected.to_json("boxes")["boxes"] == in_memory["boxes"]
    assert (listed["file"], in_memory["file"], listed["size"]) == (str(file), None, [40, 30])
    assert (bad["boxes"], bad["written"], bad["problem"] is None) == ([], None, False)
    assert "predictions" not in listed
    assert Path(str(listed["written"])).is_file()
    assert rc.predict(run, file, min_score=0.2)[0]["boxes"] == listed["boxes"]


@pytest.mark.usefixtures("tiny_heads")
def test_a_segmenter_gives_masks_in_the_size_of_each_picture(tmp_path: Path) -> None:
    heads.stored("masks", tmp_path)
    run = heads.run("masks", "epochs=1").path
    predictor = rc.Predictor(run)
    pixels = np.full((50, 90, 3), 100, np.uint8)
    found, bad = predictor([pixels, tmp_path / "missing.png"])
    mask = found["mask"]
    assert mask is not None
    assert mask.shape == (50, 90)
    for item in found["classes"]:
        assert item["share"] == np.mean(mask == predictor.card.classes.index(item["class"]))
    assert (bad["mask"], bad["classes"]) == (None, [])
    for arguments in ({"top": 2}, {"set": 0.9}, {"min_score": 0.5}):
        with pytest.raises(UsageError, match=r"this network (is no classifier|has)"):
            rc.Predictor(run, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no classifier"):
        predictor(pixels, top=2)


def test_a_predictor_writes_a_table_and_goes_on_with_it(machine: Path, tmp_path: Path) -> None:
    make_run(card())
    pictures = make_pictures(tmp_path / "pictures")
    predictor = rc.Predictor("first", top=2)
    report = predictor.to_csv(pictures / "0.png", machine / "a.csv", batch=2)
    assert (report.images, report.before) == (1, 0)
    report = predictor.to_csv([pictures], machine / "a.csv", move=machine / "sorted")
    assert (report.images, report.before, report.moved, report.problems) == (5, 1, 5, ())
    assert len((machine / "a.csv").read_text().splitlines()) == 6


def test_a_table_names_the_weights_that_were_loaded(pictures: Path, weights: Path, machine: Path) -> None:
    """A training that is still running writes others in their place."""
    predictor = rc.Predictor(weights)
    predictor.to_csv(pictures / "0.png", machine / "a.csv")
    weights.write_bytes(to_bytes(network(1).state_dict(), card()))
    report = predictor.to_csv(pictures, machine / "a.csv")
    assert (report.before, report.images) == (1, 5)
    with pytest.raises(UsageError, match="other weights"):
        rc.Predictor(weights).to_csv(pictures, machine / "a.csv")


def test_a_table_without_images_in_a_batch_is_refused(pictures: Path, weights: Path, machine: Path) -> None:
    with pytest.raises(UsageError, match="at least one image, not 0"):
        rc.Predictor(weights).to_csv(pictures, machine / "a.csv", batch=0)
    assert not (machine / "a.csv").exists()


@pytest.mark.parametrize("names", ["missing", "zz*.png", "empty", ["missing.png", "gone.png"]])
def test_names_that_give_nothing_write_no_table(names: str | list[str], weights: Path, machine: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(DataError, match="nothing was written"):
        rc.Predictor(weights).to_csv(names, machine / "a.csv")
    assert not (machine / "a.csv").exists()


def test_bytes_of_any_kind_and_open_files_are_one_picture(weights: Path, pictures: Path) -> None:
    predictor, path = rc.Predictor(weights), pictures / "0.png"
    data = path.read_bytes()
    wanted = predictor(data)
    with path.open("rb") as file, path.open(encoding="latin-1") as text:
        for picture in (bytearray(data), memoryview(data), io.BytesIO(data), file):
            assert predictor(picture) == wanted
        used, as_text = predictor([file, text])  # type: ignore[list-item]
    assert "seek(0)" in str(used["problem"])
    assert 'open(path, "rb")' in str(as_text["problem"])
    (closed,) = predictor(file)
    assert "the file cannot be read: read of closed file" in str(closed["problem"])
    assert classes(predictor([io.BytesIO(data), bytearray(data)])) == classes(wanted * 2)
    (number,) = predictor(3)  # type: ignore[arg-type]
    assert "not an int" in str(number["problem"])
