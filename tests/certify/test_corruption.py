"""T5, T6: no damaged checkpoint loads, every undamaged one loads bit for bit."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.certification import Bench, files, report
from support.nets import make

from resnetctl.engine import checkpoint
from resnetctl.engine.loop import fit
from resnetctl.errors import WeightsError

FULL = (pytest.mark.certify, pytest.mark.timeout(3600))
Damage = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, place: int, dice: random.Random) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :]


def header_end(data: bytes) -> int:
    return 8 + int(struct.unpack("<Q", data[:8])[0])


def zeroed(data: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(0, len(data), 512)
    return data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]


def doubled(data: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(data) - 1)
    chunk = data[start : start + dice.randrange(1, 4096)]
    return data[:start] + chunk + data[start:]


CLASSES: dict[str, Damage] = {
    "truncated": lambda data, dice: data[: dice.randrange(len(data))],
    "header": lambda data, dice: flip(data, dice.randrange(8, header_end(data)), dice),
    "length": lambda data, dice: flip(data, dice.randrange(8), dice),
    "payload": lambda data, dice: flip(data, dice.randrange(header_end(data), len(data)), dice),
    "appended": lambda data, dice: data + dice.randbytes(dice.randrange(1, 100)),
    "zeroed": zeroed,
    "random": lambda data, dice: dice.randbytes(dice.randrange(1, len(data))),
    "swapped": lambda data, dice: data[(cut := dice.randrange(1, len(data))) :] + data[:cut],
    "doubled": doubled,
}


@pytest.fixture(scope="module")
def good() -> bytes:
    state, plan = make(steps=5, ema=0.9)
    list(fit(state, plan))
    return checkpoint.to_bytes(state, {"name": "é"})


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("count", [40, pytest.param(400, marks=FULL)])
def test_t5_a_damaged_checkpoint_is_a_typed_error(good: bytes, kind: str, count: int) -> None:
    whole = checkpoint.from_bytes(good)
    refused = harmless = 0
    for seed in range(count):
        dice = random.Random(f"{kind}{seed}")
        bad = CLASSES[kind](good, dice)
        try:
            snapshot = checkpoint.from_bytes(bad)
        except WeightsError:
            refused += 1
            continue
        # the change has no effect: white space, or zeros over zeros
        assert snapshot.body == whole.body
        assert all(same(snapshot.tensors[name], value) for name, value in whole.tensors.items())
        harmless += 1
    report("T5", kind=kind, mutations=count, refused=refused, harmless=harmless, silent=0)
    assert refused >= count * 0.9


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and torch.equal(first.reshape(-1).view(torch.uint8), second.reshape(-1).view(torch.uint8))
    )


@pytest.mark.parametrize("kind", ["truncated", "payload", "zeroed"])
def test_t5_a_run_falls_back_to_the_newest_whole_checkpoint(bench: Bench, kind: str) -> None:
    sets = ("epochs=4",)
    cwd = bench.room()
    done = bench.train(cwd, sets)
    assert done.code == 0
    (cwd / "runs" / "r" / "summary.json").unlink()
    (cwd / "runs" / "r" / "model.safetensors").unlink()
    newest = max((cwd / "runs" / "r" / "checkpoints").iterdir())
    newest.write_bytes(CLASSES[kind](newest.read_bytes(), random.Random(kind)))
    again = bench.train(cwd, sets)
    assert "corrupt" in again.output
    assert files(cwd) == bench.reference(sets)


SPECIAL = st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 3.4e38, 1.0, 0.1])
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.int8]
NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=12)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = int(torch.Size(shape).numel())
    if dtype.is_floating_point:
        values = draw(st.lists(SPECIAL, min_size=count, max_size=count))
        value = torch.tensor(values, dtype=torch.float64).to(dtype).reshape(shape)
        return torch.nan_to_num(value, posinf=1.0, neginf=-1.0)
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
    return torch.tensor(values, dtype=torch.int64 if dtype == torch.int64 else dtype).reshape(shape)


def round_trip(best: dict[str, torch.Tensor], numbers: tuple[int, float], moment: torch.Tensor | None) -> None:
    state, _ = make()
    state.best.weights = best
    state.step, state.best.loss = numbers
    parameter = next(iter(state.model.parameters()))
    state.optimizer.state[parameter] = {"momentum_buffer": moment}
    data = checkpoint.to_bytes(state, {"é": "x"})
    assert checkpoint.to_bytes(state, {"é": "x"}) == data
    snapshot = checkpoint.from_bytes(data)
    restored_best = {
        name.removeprefix("best/"): value for name, value in snapshot.tensors.items() if name.startswith("best/")
    }
    assert restored_best.keys() == best.keys()
    assert all(same(restored_best[name], value) for name, value in best.items())
    again, _ = make()
    checkpoint.restore(again, snapshot)
    assert (again.step, again.best.loss) == (state.step, state.best.loss)
    restored = again.optimizer.state[next(iter(again.model.parameters()))]["momentum_buffer"]
    assert restored is None if moment is None else same(restored, moment)
    assert checkpoint.to_bytes(again, {"é": "x"}) == data


ROUND_TRIP = (
    st.dictionaries(NAMES, tensors(), max_size=4),
    st.tuples(st.integers(0, 2**62), st.floats(allow_nan=False)),
    st.one_of(st.none(), st.integers(0, 2**31).map(lambda seed: torch.rand(4, 1, 3, 3, generator=seeded(seed)))),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(*ROUND_TRIP)
def test_t6_a_checkpoint_survives_a_round_trip(
    best: dict[str, torch.Tensor], numbers: tuple[int, float], moment: torch.Tensor | None
) -> None:
    round_trip(best, numbers, moment)


@pytest.mark.certify
@pytest.mark.timeout(3600)
def test_t6_many_checkpoints_survive_a_round_trip() -> None:
    examples = []

    @settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(*ROUND_TRIP)
    def example(best: dict[str, torch.Tensor], numbers: tuple[int, float], moment: torch.Tensor | None) -> None:
        examples.append(1)
        round_trip(best, numbers, moment)

    example()
    report("T6", examples=len(examples))


def test_t6_another_safetensors_file_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the checkpoint is corrupt: KeyError"):
        checkpoint.from_bytes(safetensors.torch.save({"a": torch.zeros(2)}))
