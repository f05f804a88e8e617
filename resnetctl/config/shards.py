"""How many processes can share the shards of a batch. Imports no PyTorch."""

from resnetctl.errors import ConfigError, UsageError
from resnetctl.hints import Setting
from resnetctl.wording import counted


def require_division(shards: int, processes: int) -> None:
    """Raise `UsageError` unless the processes can share the shards evenly."""
    if shards % processes:
        whole = processes * -(-shards // processes)
        more = Setting("shards", whole, note="in a new run: shards belong to the experiment")
        fewer = Setting("processes", most_processes(shards, processes - 1))
        raise UsageError(
            f"{counted(processes, 'process')} cannot share {counted(shards, 'shard')} evenly",
            where=Setting("processes", processes),
            hint=[more, fewer],
        )


def most_processes(shards: int, places: int) -> int:
    """Return the largest number of processes, at most `places`, that share the shards evenly."""
    return max(number for number in range(1, max(1, min(shards, places)) + 1) if shards % number == 0)


def require_images(shards: int, *, batch_size: int) -> None:
    """Raise `ConfigError` when a shard would have one image, because batch norm needs two."""
    if shards > 1 and 2 * shards > batch_size:
        raise ConfigError(
            f"{shards} shards of a batch of {counted(batch_size, 'image')}: batch norm needs two images in each",
            where=Setting("shards", shards),
            hint=[Setting("shards", max(1, batch_size // 2)), Setting("batch_size", 2 * shards)],
        )
