"""Decoding is silent, and afterwards stderr and the warning filters are the process's own again, with threads, too."""

import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from support.pictures import encode, solid

from resnetctl.data.reading.decode import BadImage, read_image
from resnetctl.data.reading.quiet import Shared, quiet_libtiff, quiet_pillow

WHOLE = encode(Image.effect_noise((64, 64), 60), "TIFF", compression="tiff_lzw")
DAMAGED = WHOLE[: len(WHOLE) // 2 - 100] + bytes(100) + WHOLE[len(WHOLE) // 2 :]


def stderr_file() -> tuple[int, int]:
    """Return device and inode of file descriptor 2."""
    status = os.fstat(2)
    return status.st_dev, status.st_ino


def is_read(data: bytes) -> bool:
    try:
        read_image(data, 1)
    except BadImage:
        return False
    return True


def test_threads_that_decode_tiffs_leave_stderr_as_it_was() -> None:
    before, filters = stderr_file(), list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(is_read, [WHOLE, DAMAGED] * 40))
    assert results == [True, False] * 40
    assert stderr_file() == before
    assert warnings.filters == filters


def test_a_failure_inside_leaves_stderr_and_filters_as_they_were() -> None:
    before, filters = stderr_file(), list(warnings.filters)
    with pytest.raises(KeyError), quiet_libtiff, quiet_pillow:
        raise KeyError
    assert stderr_file() == before
    assert warnings.filters == filters


def test_the_last_thread_restores_what_the_first_one_silenced() -> None:
    before, inside, leave = stderr_file(), threading.Barrier(2), threading.Event()

    def stay() -> None:
        with quiet_libtiff:
            inside.wait()
            leave.wait()

    with quiet_libtiff:
        thread = threading.Thread(target=stay)
        thread.start()
        inside.wait()
    assert stderr_file() != before
    leave.set()
    thread.join()
    assert stderr_file() == before


def test_filters_that_are_set_meanwhile_stay() -> None:
    with warnings.catch_warnings():
        with quiet_pillow:
            warnings.filterwarnings("ignore", message="of another thread")
        assert warnings.filters[0][1].pattern == "of another thread"
        with quiet_pillow:
            warnings.resetwarnings()
        assert warnings.filters == []


def test_a_context_that_cannot_be_entered_is_tried_again() -> None:
    def fail() -> None:
        raise OSError("no descriptor is free")

    shared = Shared(fail)
    for _ in range(2):
        with pytest.raises(OSError, match="no descriptor"), shared:
            pass


@pytest.mark.parametrize("is_quiet", [True, False])
def test_what_libtiff_and_the_log_of_pillow_print_is_discarded(tmp_path: Path, is_quiet: bool) -> None:
    """Both go to file descriptor 2; without the silence they appear."""
    (tmp_path / "a.tif").write_bytes(DAMAGED)
    many = Image.new("CMYK", (4, 4))
    data = bytearray(encode(many, "TIFF"))
    place = data.index(b"\x15\x01\x03\x00")  # the tag SamplesPerPixel
    data[place + 8] = 99
    (tmp_path / "b.tif").write_bytes(data)
    program = (
        "import contextlib, sys, pathlib\n"
        "from resnetctl.data.reading import decode\n"
        f"if not {is_quiet}: decode.quiet_libtiff = decode.quiet_pillow = contextlib.nullcontext()\n"
        "for name in sys.argv[1:]:\n"
        "    try: decode.read_image(pathlib.Path(name), 1)\n"
        "    except decode.BadImage: sys.stderr.write('bad')"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "badbad" if is_quiet else "LZW" in done.stderr and "More samples" in done.stderr


def test_a_process_without_stderr_can_read_a_tiff(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError("Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    assert read_image(encode(Image.new("RGB", (2, 2), (1, 2, 3)), "TIFF"), 3)[0, 0].tolist() == [1, 2, 3]


def test_a_warning_of_pillow_is_no_error_even_where_warnings_are() -> None:
    """pytest makes warnings errors here; a palette with transparency per entry makes Pillow warn."""
    image = Image.new("P", (2, 2))
    image.putpalette([1, 2, 3])
    assert read_image(encode(image, transparency=b"\xff"), 3)[0, 0].tolist() == [1, 2, 3]
    assert read_image(solid(), 3).shape[2] == 3
