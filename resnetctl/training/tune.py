"""`--tune`: timed trials of what the machine may choose and the experiment does not notice, which is the threads.

Batch size, precision and image size belong to the experiment and are left alone. The choice goes into the run's
config, so a resume and a repetition time nothing.
"""

import dataclasses
from collections.abc import Generator

import torch

from resnetctl.engine.device import cores_granted
from resnetctl.engine.loop import TrainState
from resnetctl.engine.stopwatch import Spread, interleave, ratios, spread
from resnetctl.facts import Notice
from resnetctl.training.job import Job
from resnetctl.training.pace import Trial, at_threads

ORIGIN = "tune"
SECONDS = 20.0  # for all trials; a slow step makes it more
SAMPLE = 0.2  # seconds
WORTH = 1.03  # more threads have to be so much faster: less is noise, and they take cores from others


def tune(job: Job, state: TrainState) -> Generator[Notice, None, Job]:
    """Try numbers of threads on real steps, in turns, and write the best into the config. `state` is spoilt."""
    if job.device.type != "cpu":
        yield Notice(f"--tune: nothing to try, on {job.device.type} the number of CPU threads hardly counts")
        return job
    trial = Trial(job, state)
    counts = candidates(cores_granted())
    ways = {str(count): at_threads(count, lambda: trial.rate(SAMPLE)) for count in counts}
    rates = {int(name): values for name, values in interleave(ways, seconds=SECONDS, needed=len(ways)).items()}
    best = choose(rates)
    torch.set_num_threads(best)
    said = ", ".join(f"{count}: {_images(spread(values))}" for count, values in rates.items())
    yield Notice(f"--tune: {best} thread{'s' * (best != 1)}; images/s in {len(rates[best])} rounds by threads: {said}")
    config = job.config.model_copy(update={"threads": best})
    return dataclasses.replace(job, config=config, origins={**job.origins, "threads": ORIGIN})


def candidates(cores: int) -> list[int]:
    """1, 2, 4 and so on, and all cores."""
    doubled = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [*doubled, cores]


def choose(rates: dict[int, list[float]]) -> int:
    """From few threads to many, the last that was worth it against the best before, round by round."""
    best, *more = sorted(rates)
    for count in more:
        if ratios(rates[count], rates[best]).median > WORTH:
            best = count
    return best


def _images(found: Spread) -> str:
    return f"{found.median:,.0f} ({found.low:,.0f}-{found.high:,.0f})"
