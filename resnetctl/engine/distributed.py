"""Several processes train one network. The shards of a batch decide the result, the processes do not.

A batch is cut into a fixed number of shards, each with its own batch-norm statistics. Every process computes some of
them, and all processes add the results of all shards up, in shard order. So one process that computes every shard gets
the same bits as four that share them. A step needs one message: gradients, batch-norm statistics, loss, correct counts,
and whether a signal arrived or a process failed, in one flat buffer.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetctl.errors import PeerFailed, UsageError, WorkFailed, is_out_of_memory
from resnetctl.system.ranks import Place
from resnetctl.system.signals import Stop

Reduce = Literal["auto", "ordered", "fast"]
Integers = NDArray[np.int64]
FAST_BYTES = 10_000_000  # above it, messages in shard order cost far more than a plain all-reduce: docs/how-to/scale.md
FACTS = ("config", "data", "versions", "first weights")  # must be equal before the first step
COUNTS = ("loss", "weight", "correct", "images")  # the last numbers of a row, before its flags
FLAGS = ("interrupts", "terminations", "failures")
FAILED = "another process of the run failed"
PATIENCE = 1800  # seconds; how long a process waits for the others, e.g. while one fetches the data


class Team:
    """The processes of one training: one by default, which exchanges nothing.

    Attributes:
        rank: the number of this process; process 0 writes the files of the run.
        size: the number of processes.
        turn: 0 for process 0, 1 for the first process of each other machine, 2 for all others.
        local_size: the number of processes on this machine.
        reduce: how the user wants gradients to be summed.
        is_ordered: whether gradients are summed in shard order, so that the number of processes changes no bit.
        stop_signal: the signal that all processes know of, 0 for none.
        is_failing: tell the others with the next message that this process cannot go on.
    """

    def __init__(
        self, place: Place | None = None, *, reduce: Reduce = "auto", wire: torch.device | None = None
    ) -> None:
        """Return the team of `place`, joined before; `wire` is where tensors lie when they are sent."""
        self.rank, self.size = (place.rank, place.size) if place is not None else (0, 1)
        self.local_size = place.local_size if place is not None else 1
        self.reduce = reduce
        self.is_writer = self.rank == 0
        self.turn = 0 if self.rank == 0 else 2 if place is not None and place.local_rank else 1
        self.is_ordered = True
        self.stop_signal = 0
        self.is_failing = False
        self.stop = Stop()
        self._wire = wire or torch.device("cpu")
        self._is_told = False

    @property
    def world_size(self) -> int:
        """The number of processes, if the result depends on it, else 1."""
        return 1 if self.is_ordered else self.size

    def share(self, count: int) -> range:
        """Return which of `count` shards, or batches of an evaluation, this process computes."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def agree(self, facts: Mapping[str, str] | None = None, *, is_last: bool = False) -> None:
        """Wait for the others, and compare `facts`, one text for each of `FACTS`.

        `is_last` ends the preparation: from now on failures travel with the messages of steps and evaluations.

        Raises:
            PeerFailed: another process failed. Processes other than 0 raise it for different facts, too.
            UsageError: the facts differ; names the process and the fact.
        """
        rows = self._tell(facts or {}, has_failed=False)
        if any(row[0] for row in rows):
            raise PeerFailed(FAILED, is_reported=True)
        problems = [
            f"process {rank} has other {name} than process 0"
            for rank, row in enumerate(rows)
            for name, own, first in zip(FACTS, row[1:], rows[0][1:], strict=True)
            if own != first
        ]
        if problems:
            self._is_told = True
            if self.rank:
                raise PeerFailed(problems[0], is_reported=True)
            hint = "start every process with the same command, packages and data"
            raise UsageError(f"the {self.size} processes do not train the same run", problems=problems, hint=hint)
        self._is_told = is_last

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """Tell the others if the work inside `with` fails, so that nobody waits. It may call `agree` only."""
        try:
            yield
        except Exception as error:
            rows: list[list[int]] = []
            if not self._is_told:
                with contextlib.suppress(WorkFailed):  # the others may be gone
                    rows = self._tell({}, has_failed=True)
            if self.rank and rows and rows[0][0]:
                raise PeerFailed(FAILED, is_reported=True) from error
            raise

    def _tell(self, facts: Mapping[str, str], *, has_failed: bool) -> list[list[int]]:
        """Send whether this process failed, and digests of its facts; return those of all processes."""
        if self.size == 1:
            return []
        digests = [hashlib.sha256(facts.get(name, "").encode()).digest() for name in FACTS]
        mine = [int(has_failed), *(int.from_bytes(digest[:7], "little") for digest in digests)]
        rows: list[list[int]] = self.gather(torch.tensor([mine])).tolist()
        self._is_told = any(row[0] for row in rows)
        return rows

    def add_up(self, row: Tensor) -> Tensor:
        """Return the sum of `row` over all processes, in any order."""
        total = row.to(self._wire)
        with _connected():
            dist.all_reduce(total)
        return total.to(row.device)

    def add_up_integers(self, values: Integers, *, has_failed: bool = False) -> Integers:
        """Return the sum of `values` over all processes. Raises `PeerFailed` if one of them failed."""
        if self.size == 1:
            return values
        flags = self.flags(has_failed=has_failed)
        totals: Integers = self.add_up(torch.from_numpy(np.append(values, np.array(flags, np.int64)))).numpy()
        self.heed(totals[-len(FLAGS) :].tolist())
        return totals[: -len(FLAGS)]

    def flags(self, *, has_failed: bool = False) -> list[int]:
        """Return what the others must know, a number for each of `FLAGS`."""
        signum = self.stop.signum
        return [int(signum == 2), int(signum not in (0, 2)), int(has_failed or self.is_failing)]

    def heed(self, flags: list[float] | list[int]) -> None:
        """Take the flags of all processes, summed. Raises `PeerFailed` if one of them failed."""
        interrupts, terminations, failures = flags
        if failures:
            raise PeerFailed(FAILED, is_reported=True)
        if interrupts or terminations:
            self.stop_signal = 15 if terminations else 2

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows `(size * N, M)` of all processes, in their order, from `(N, M)` of this one."""
        own = rows.to(self._wire)
        whole = own.new_empty((self.size * len(own), *own.shape[1:]))
        with _connected():  # torch 2.14 has a new name for it
            (getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor)(whole, own)
        return whole.to(rows.device)


def join(place: Place, *, reduce: Reduce = "auto", device: str = "auto") -> Team:
    """Connect to the other processes: by NCCL between GPUs, by gloo otherwise. Raises `WorkFailed` if one is missing.

    A process takes the GPU with its number on this machine.
    """
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") and torch.cuda.is_available() else 0
    by_nccl = gpus >= place.local_size and dist.is_nccl_available()
    if gpus:
        torch.cuda.set_device(place.local_rank % gpus)
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if by_nccl else "gloo",
            init_method=f"tcp://{place.address}:{place.port}",
            rank=place.rank,
            world_size=place.size,
            timeout=timedelta(seconds=PATIENCE),
        )
    except (RuntimeError, ValueError) as error:  # torch has no narrower classes
        reason = str(error).partition("\n")[0][:200]
        raise WorkFailed(
            f"process {place.rank} of {place.size} cannot reach the others: {reason}",
            where=f"{place.address}:{place.port}",
            hint="every process needs the same MASTER_ADDR and MASTER_PORT, and a number RANK of its own",
        ) from None
    return Team(place, reduce=reduce, wire=torch.device("cuda") if by_nccl else None)


def leave() -> None:
    """Close the connections, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What a shard gave besides gradients.

    Attributes:
        loss: mean loss times `weight`, 0-d. The gradients are multiplied as well.
        weight: what the mean loss divides by: the number of images, or the sum of their class weights.
        correct: images whose class has the largest logit, 0-d.
        images: number of images.
    """

    loss: Tensor
    weight: Tensor | float
    correct: Tensor
    images: int


def cut(rows: Tensor, shards: int) -> list[Tensor]:
    """Return the rows of a batch in contiguous shards. A shard of one image joins its neighbour: batch norm needs two.

    The shards depend on the number of rows and of shards only. Fewer are returned for a small last batch.
    """
    return list(rows.tensor_split(min(shards, max(1, len(rows) // 2))))


def step_in_shards(
    model: nn.Module, rows: Tensor, *, shards: int, team: Team, compute: Callable[[int, Tensor], Shard]
) -> tuple[Tensor, Tensor]:
    """Give `model` the gradients and batch-norm statistics of a whole batch; return its mean loss and correct count.

    Args:
        rows: places of the batch's images.
        compute: adds the gradients of a shard, times its weight, to those of the model, from its number and its rows.

    Raises:
        PeerFailed: another process failed. What `compute` raises is raised here, after the others were told.
    """
    sums = _Sums(model, team, shards=shards)
    pieces = cut(rows, shards)
    if team.is_failing:
        sums.give_up()
    try:
        for number in team.share(shards):
            if number < len(pieces):
                sums.begin()
                sums.add(number, compute(number, pieces[number]))
    except Exception:
        if team.size > 1:
            with contextlib.suppress(PeerFailed, WorkFailed):
                sums.give_up()
        raise
    return sums.finish(len(pieces))


class _Sums:
    """The sums over the shards of one step, as rows of numbers: gradients, changes of buffers, counts, flags."""

    def __init__(self, model: nn.Module, team: Team, *, shards: int) -> None:
        self._team = team
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        buffers = list(model.buffers())
        self._means = [(value, value.clone()) for value in buffers if value.is_floating_point()]
        self._counters = [(value, value.clone()) for value in buffers if not value.is_floating_point()]
        self._rows: list[Tensor] = []
        self._own = len(team.share(shards))
        self._device = self._parameters[0].device

    def begin(self) -> None:
        """Prepare the model for the next shard: no gradients, and the buffers of before the step."""
        for parameter in self._parameters:
            parameter.grad = None
        with torch.no_grad():
            for value, before in (*self._means, *self._counters):
                value.copy_(before)

    def add(self, number: int, shard: Shard) -> None:
        """Take the gradients and the changed buffers of the model. Counters count once a step, with shard 0."""
        with torch.no_grad():
            gradients = [
                (torch.zeros_like(each) if each.grad is None else each.grad).reshape(-1) for each in self._parameters
            ]
            changes = [(value - before).reshape(-1) * shard.images for value, before in self._means]
            steps = [(value - before).reshape(-1).float() * (number == 0) for value, before in self._counters]
            counts = [shard.loss, shard.weight, shard.correct, shard.images]
            flags = [0.0] * len(FLAGS)
            self._keep(torch.cat([*gradients, *changes, *steps, self._numbers([*counts, *flags])]))

    def give_up(self) -> None:
        """Tell the others that this process failed. Raises `PeerFailed`."""
        self._rows = []
        self._team.is_failing = True
        self._total(shards=1)

    def finish(self, shards: int) -> tuple[Tensor, Tensor]:
        """Exchange the sums; set the gradients and the buffers of the model. `shards` is how many have images."""
        total = self._total(shards=shards)
        parts = torch.split(total, [*(each.numel() for each in self._tensors()), len(COUNTS) + len(FLAGS)])
        loss, weight, correct, images = parts[-1][: len(COUNTS)]
        with torch.no_grad():
            for parameter, part in zip(self._parameters, parts, strict=False):
                if parameter.grad is None:
                    parameter.grad = torch.empty_like(parameter)
                parameter.grad.copy_((part / weight).view_as(parameter))
            rest = parts[len(self._parameters) : -1]
            for (value, before), part in zip(self._means, rest, strict=False):
                value.copy_(before + (part / images).view_as(value))
            for (value, before), part in zip(self._counters, rest[len(self._means) :], strict=True):
                value.copy_(before + part.round().to(value.dtype).view_as(value))
        return loss / weight, correct.long()

    def _tensors(self) -> list[Tensor]:
        return [*self._parameters, *(value for value, _ in self._means), *(value for value, _ in self._counters)]

    def _numbers(self, values: list[Tensor | float]) -> Tensor:
        return torch.stack([torch.as_tensor(value, dtype=torch.float32, device=self._device) for value in values])

    def _keep(self, row: Tensor) -> None:
        """Keep a row for itself where it travels alone, else add it to those before, in shard order."""
        if self._rows and (self._team.size == 1 or not self._team.is_ordered):
            self._rows[0].add_(row)
        else:
            self._rows.append(row)

    def _total(self, *, shards: int) -> Tensor:
        """Return the sum of the first `shards` rows of all processes, in their order, after heeding the flags."""
        team = self._team
        if team.size == 1:
            return self._rows[0]
        length = sum(each.numel() for each in self._tensors()) + len(COUNTS) + len(FLAGS)
        count = self._own if team.is_ordered else 1
        missing = [torch.zeros(length, device=self._device)] * (count - len(self._rows))
        rows = torch.stack([*self._rows, *missing])
        rows[0, -len(FLAGS) :] = self._numbers([*team.flags()])
        if not team.is_ordered:
            total = team.add_up(rows[0])
            team.heed(total[-len(FLAGS) :].tolist())
            return total
        rows = team.gather(rows)
        team.heed(rows[:, -len(FLAGS) :].sum(0).tolist())
        total = rows[0].clone()
        for row in rows[1:shards]:
            total.add_(row)
        return total


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch has no narrower class for a closed connection
        if is_out_of_memory(error):
            raise
        raise PeerFailed(
            "the connection to another process of the run is lost; the last checkpoint is kept", is_reported=False
        ) from error
