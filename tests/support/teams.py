"""Teams of threads: the processes of one training, in one process, for tests of what they compute together."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from resnetctl.engine.distributed import Team
from resnetctl.errors import PeerFailed
from resnetctl.system.ranks import Place

Result = TypeVar("Result")


class Wire:
    """What the threads of a team send each other, one message of each at a time."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.sent: dict[int, Tensor] = {}

    def exchange(self, rank: int, message: Tensor) -> list[Tensor]:
        """Return the messages of all threads, in the order of their ranks."""
        try:
            self.sent[rank] = message.clone()
            self.barrier.wait()
            answers = [self.sent[number] for number in sorted(self.sent)]
            with contextlib.suppress(threading.BrokenBarrierError):  # another thread may have failed since
                self.barrier.wait()
        except threading.BrokenBarrierError:
            raise PeerFailed("the connection to another process of the run is lost", is_reported=False) from None
        return answers


class ThreadTeam(Team):
    """A team whose processes are threads. Their work must not draw random numbers, because torch's generator is one."""

    def __init__(self, rank: int, wire: Wire) -> None:
        size = wire.barrier.parties
        super().__init__(Place(rank=rank, size=size, local_rank=rank, local_size=size, address="", port=0))
        self.wire = wire
        self.messages = 0

    def gather(self, rows: Tensor) -> Tensor:
        self.messages += 1
        return torch.cat(self.wire.exchange(self.rank, rows))

    def add_up(self, row: Tensor) -> Tensor:
        self.messages += 1
        return torch.stack(self.wire.exchange(self.rank, row)).sum(0)


def together(size: int, work: Callable[[Team], Result]) -> list[Result | Exception]:
    """Run `work` in each thread of a team; return what each returned or raised."""
    wire = Wire(size)

    def guarded(rank: int) -> Result | Exception:
        try:
            return work(ThreadTeam(rank, wire))
        except Exception as error:
            wire.barrier.abort()
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(guarded, range(size)))
