"""Shards decide what a training computes; processes, here threads, change no bit of it."""

import dataclasses
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.nets import make
from support.teams import ThreadTeam, Wire, together
from torch import Tensor, nn

from resnetctl.engine.distributed import FLAGS, Shard, Team, cut, join, step_in_shards
from resnetctl.engine.loop import EpochResult, Plan, TrainState, fit
from resnetctl.engine.metrics import GROUP, Share, measure
from resnetctl.errors import DataError, PeerFailed, UsageError, WorkFailed
from resnetctl.spec import Batch
from resnetctl.system.ranks import Place

MAKING = threading.Lock()  # the first weights come from torch's one generator


def plain(batch: Batch) -> Batch:
    return batch


def trained(team: Team, *, shards: int = 4, batch: int = 8, **options: Any) -> tuple[list[Tensor], list[EpochResult]]:
    """Train six steps in one process of a team; return all tensors of the state, and the epochs."""
    with MAKING:
        state, plan = make(count=18, steps=6, augment=plain, shards=shards, team=team, **options)
    team.agree()  # nobody seeds the generator while another makes its weights
    plan = dataclasses.replace(plan, batch_size=batch, steps_per_epoch=-(-18 // batch))
    epochs = [fact for fact in fit(state, plan) if isinstance(fact, EpochResult)]
    moments = [value for values in state.optimizer.state.values() for value in values.values()]
    nets = [*state.model.state_dict().values(), *(state.ema.state_dict().values() if state.ema is not None else ())]
    return [value.clone() for value in (*nets, *moments) if isinstance(value, Tensor)], epochs


@pytest.mark.parametrize(
    "options",
    [{}, {"ema": 0.9, "grad_clip": 0.1}, {"accumulate": 2}, {"class_weights": torch.tensor([1.0, 4.0, 0.5])}],
)
@pytest.mark.parametrize("size", [2, 4])
def test_processes_change_no_bit(size: int, options: dict[str, Any]) -> None:
    """18 images in batches of 8: the last batch has two, so one shard, and most processes have none."""
    alone, epochs = trained(Team(), **options)
    for tensors, seen in together(size, lambda team: trained(team, **options)):  # type: ignore[misc]
        assert seen == epochs
        assert all(torch.equal(one, other) for one, other in zip(tensors, alone, strict=True))


def test_shards_belong_to_the_experiment() -> None:
    first, _ = trained(Team(), shards=1)
    second, _ = trained(Team(), shards=2)
    assert not all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_fast_sum_gives_the_same_result_up_to_rounding() -> None:
    alone, _ = trained(Team())

    def fast(team: Team) -> tuple[list[Tensor], list[EpochResult]]:
        team.is_ordered = False
        return trained(team)

    first, second = together(2, fast)
    assert all(torch.equal(one, other) for one, other in zip(first[0], second[0], strict=True))  # type: ignore[index]
    for one, other in zip(first[0], alone, strict=True):  # type: ignore[index]
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_step_takes_one_message() -> None:
    def messages(team: Team) -> int:
        state, plan = make(steps=5, augment=plain, shards=2, team=team)
        list(fit(state, plan))
        assert isinstance(team, ThreadTeam)
        return team.messages

    assert together(2, messages) == [5, 5]


@pytest.mark.parametrize(
    ("rows", "shards", "sizes"),
    [
        (128, 4, [32] * 4),
        (10, 4, [3, 3, 2, 2]),
        (7, 4, [3, 2, 2]),
        (5, 4, [3, 2]),
        (3, 4, [3]),
        (2, 8, [2]),
        (1, 2, [1]),
    ],
)
def test_a_shard_of_one_image_joins_its_neighbour(rows: int, shards: int, sizes: list[int]) -> None:
    pieces = cut(torch.arange(rows), shards)
    assert [len(piece) for piece in pieces] == sizes
    assert torch.equal(torch.cat(pieces), torch.arange(rows))


def test_shards_of_equal_processes_are_contiguous() -> None:
    teams = [ThreadTeam(rank, Wire(4)) for rank in range(4)]
    assert [[*team.share(8)] for team in teams] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    for count in range(40):
        assert [number for team in teams for number in team.share(count)] == list(range(count))


def mean_and_gradient(model: nn.Module, images: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Return loss and first gradient of a step in shards of these sizes."""

    def compute(number: int, rows: Tensor) -> Shard:
        loss = model(images[rows]).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return Shard(loss=loss.detach(), weight=len(rows), correct=torch.tensor(1), images=len(rows))

    loss, _ = step_in_shards(model, torch.arange(len(images)), shards=len(sizes), team=Team(), compute=compute)
    gradient = next(model.parameters()).grad
    assert gradient is not None
    return loss, gradient


def test_uneven_shards_count_by_their_images() -> None:
    """Without batch norm, the loss and the gradients of any shards are those of the whole batch."""
    torch.manual_seed(0)
    model, images = nn.Linear(3, 1), torch.randn(7, 3)
    loss, gradient = mean_and_gradient(model, images, [3, 2, 2])
    whole = model(images).square().mean()
    model.zero_grad()
    whole.backward()
    torch.testing.assert_close(loss, whole.detach())
    torch.testing.assert_close(gradient, model.weight.grad)


def test_batch_norm_statistics_are_the_mean_over_images_and_count_once_a_step() -> None:
    torch.manual_seed(0)
    model, images = nn.BatchNorm1d(3), torch.randn(7, 3) + 2
    mean_and_gradient(model, images, [3, 2, 2])
    torch.testing.assert_close(model.running_mean, 0.1 * images.mean(0))
    assert int(model.num_batches_tracked) == 1


def test_frozen_statistics_keep_their_bits() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3).eval())
    model[1].running_mean.fill_(1 / 3)
    before = model[1].running_mean.clone()
    mean_and_gradient(model, torch.randn(7, 3), [3, 2, 2])
    assert torch.equal(model[1].running_mean, before)


def test_every_process_learns_of_a_signal_in_the_same_step() -> None:
    def stopped_at(team: Team) -> tuple[int, int]:
        state, plan = make(steps=9, augment=plain, shards=2, team=team)
        for fact in fit(state, plan):
            if team.stop_signal:
                return fact.step, team.stop_signal
            if team.rank == 1 and fact.step == 3:
                team.stop.signum = 15
        raise AssertionError("the signal was lost")

    assert together(2, stopped_at) == [(4, 15), (4, 15)]


def failing_at(step: int, rank: int, how: Callable[[Team], None]) -> list[object]:
    """Return how the processes end when `how` happens in one of them before a step."""

    def work(team: Team) -> None:
        state, plan = make(steps=9, augment=plain, shards=4, team=team)
        for fact in fit(state, plan):
            if team.rank == rank and fact.step == step:
                how(team)

    return [type(end) for end in together(4, work)]


def test_a_process_that_cannot_go_on_stops_all() -> None:
    def fail(team: Team) -> None:
        team.is_failing = True

    assert failing_at(3, 0, fail) == [PeerFailed] * 4


def test_an_error_in_a_shard_stops_all_and_keeps_its_type() -> None:
    def spoiled(team: Team) -> None:
        def augment(batch: Batch) -> Batch:
            if team.rank == 1 and batch.step == 1:
                raise DataError("an image changed")
            return batch

        state, plan = make(steps=9, augment=augment, shards=2, team=team)
        list(fit(state, plan))

    assert [type(end) for end in together(2, spoiled)] == [PeerFailed, DataError]


def test_a_process_that_vanishes_is_an_error_of_the_others() -> None:
    def vanish(team: Team) -> None:
        raise KeyError

    assert failing_at(3, 2, vanish) == [PeerFailed, PeerFailed, KeyError, PeerFailed]


def test_different_facts_name_the_process() -> None:
    def work(team: Team) -> None:
        with team.preparing():
            team.agree({"config": "same", "data": "other" if team.rank == 2 else "same"})

    first, *others = together(3, work)
    assert isinstance(first, UsageError)
    assert first.problems == ("process 2 has other data than process 0",)
    assert all(isinstance(error, PeerFailed) and error.is_reported for error in others)


@pytest.mark.parametrize(
    ("failing", "ends"),
    [
        ((1,), [PeerFailed, UsageError, PeerFailed]),
        ((0, 1, 2), [UsageError, PeerFailed, PeerFailed]),
    ],
)
def test_a_failure_before_the_first_step_is_reported_once(failing: tuple[int, ...], ends: list[type]) -> None:
    def work(team: Team) -> None:
        with team.preparing():
            if team.rank in failing:
                raise UsageError("no room")
            team.agree()

    assert [type(end) for end in together(3, work)] == ends


PROGRAM = """
import os
import numpy as np
import torch
from resnetctl.engine.distributed import join, leave
from resnetctl.errors import PeerFailed
from resnetctl.system.ranks import place

where = place()
team = join(where, reduce="fast", device="cpu")
with team.preparing():
    team.agree({"config": "same"})
rank = torch.tensor([[float(team.rank)]])
print(team.gather(rank).tolist(), end=" ")
print(team.add_up(rank[0]).tolist(), team.add_up_integers(np.arange(2)).tolist(), flush=True)
if team.rank == 1:
    os._exit(7)  # without torch's end, which now and then aborts while its threads still wait for the other process
try:
    while True:
        team.agree()
except PeerFailed as error:
    print(error.is_reported, error)
leave()
"""


def test_real_processes_connect_and_notice_when_one_is_gone() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    place = {"WORLD_SIZE": "2", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-c", PROGRAM]
    processes = [
        subprocess.Popen(command, env={**os.environ, **place, "RANK": rank}, stdout=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    outputs = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 7]
    assert outputs[0][0] == outputs[1][0] == "[[0.0], [1.0]] [1.0] [0, 2]"
    assert outputs[0][1] == "False the connection to another process of the run is lost; the last checkpoint is kept"


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taken = Place(rank=0, size=2, local_rank=0, local_size=2, address="127.0.0.1", port=port)
        with pytest.raises(WorkFailed, match="process 0 of 2 cannot reach the others") as caught:
            join(taken, device="cpu")
    assert caught.value.where == f"127.0.0.1:{port}"


def test_one_process_alone_exchanges_nothing() -> None:
    team = Team()
    with team.preparing():
        team.agree({"config": "any"}, is_last=True)
    values = np.arange(4)
    assert team.add_up_integers(values) is values
    assert (team.is_writer, team.size, team.world_size, [*team.share(3)]) == (True, 1, 1, [0, 1, 2])


def test_flags_say_which_signal_came() -> None:
    team = Team()
    assert team.flags() == [0] * len(FLAGS)
    team.stop.signum = 2
    assert team.flags(has_failed=True) == [1, 0, 1]
    team.heed([1, 2, 0])
    assert team.stop_signal == 15


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_image_is_measured_once_for_any_count_and_any_number_of_processes(size: int) -> None:
    generator = np.random.default_rng(size)
    for count in [*range(1, 65), GROUP, 3 * GROUP, 5 * GROUP + 7]:
        images = generator.integers(0, 256, (count, 1, 1, 5)).astype(np.uint8)
        labels = generator.integers(0, 5, count)

        def batches(first: int, last: int) -> list[tuple[np.ndarray, np.ndarray]]:
            return [
                (images[at : at + GROUP], labels[at : at + GROUP])  # noqa: B023
                for at in range(first * GROUP, min(last * GROUP, count), GROUP)  # noqa: B023
            ]

        def predict(pixels: np.ndarray) -> np.ndarray:
            return (pixels[:, 0, 0] / 50).astype(np.float32)

        groups = -(-count // GROUP)

        def work(team: Team) -> Any:
            own = team.share(groups)  # noqa: B023
            share = Share(first=own.start, groups=groups, add_up=team.add_up_integers)  # noqa: B023
            return measure(predict, batches(own.start, own.stop), classes="abcde", share=share)

        whole = measure(predict, batches(0, groups), classes="abcde")
        for report in together(size, work):
            assert report.confusion == whole.confusion  # type: ignore[union-attr]
            assert (report.count, report.top5, report.loss) == (count, whole.top5, whole.loss)  # type: ignore[union-attr]


def test_a_failed_evaluation_stops_all() -> None:
    def work(team: Team) -> None:
        share = Share(first=team.rank, groups=2, add_up=team.add_up_integers)
        value = np.nan if team.rank else 1.0
        batch = (np.zeros((4, 1, 1, 1), np.uint8), np.zeros(4, np.int64))
        measure(lambda images: np.full((4, 2), value, np.float32), [batch], classes="ab", share=share)

    first, second = together(2, work)
    assert isinstance(first, PeerFailed)
    assert "not finite" in str(second)


def test_a_resume_in_the_middle_goes_on_with_the_same_bits() -> None:
    def train(state: TrainState, plan: Plan, steps: int) -> None:
        for fact in fit(state, plan):
            if fact.step == steps:
                return

    state, plan = make(steps=9, augment=plain, shards=2)
    list(fit(state, plan))

    def work(team: Team) -> list[Tensor]:
        with MAKING:
            again, first = make(steps=9, augment=plain, shards=2)
        team.agree()
        train(again, first, 4)  # alone
        list(fit(again, dataclasses.replace(first, team=team)))  # together
        return list(again.weights().values())

    for weights in together(2, work):
        assert all(torch.equal(a, b) for a, b in zip(weights, state.weights().values(), strict=True))  # type: ignore[arg-type]
