"""Choose how many blocks each stage keeps from a table of latencies, measured on this machine for this network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resnetctl.compress.depths import Depths
from resnetctl.compress.latency import ROUNDS, SECONDS, Prepared, Repeated, batch_of
from resnetctl.deploy.onnx_session import OnnxModel
from resnetctl.engine.metrics import Images
from resnetctl.engine.stopwatch import interleave, spread
from resnetctl.spec import Card


@dataclass(frozen=True, kw_only=True)
class LatencyTable(Card):
    """Milliseconds of one image with one thread.

    Attributes:
        whole: of the whole network.
        blocks: of one removable block, for each stage; 0 where the stage has none.
    """

    whole: float
    blocks: tuple[float, ...]

    def predicted(self, depths: Depths, keep: Depths) -> float:
        """Return the speed-up that the table predicts for a network that keeps these blocks."""
        saved = sum(ms * (had - left) for ms, had, left in zip(self.blocks, depths, keep, strict=True))
        return self.whole / max(self.whole - saved, 1e-9)


def measure_table(depths: Depths, images: Images, *, export: Callable[[Depths], OnnxModel]) -> LatencyTable:
    """Time the whole network, and the network with one block in one stage, for every stage that has more.

    Args:
        export: returns the network with so many blocks a stage, ready to run.
    """
    variants = {str(stage): _alone(depths, stage) for stage, depth in enumerate(depths) if depth > 1}
    models = {"": export(depths), **{name: export(variant) for name, variant in variants.items()}}
    times = milliseconds(models, images=images)
    saved = [
        max(0.0, times[""] - times[str(stage)]) / (depth - 1) if depth > 1 else 0.0
        for stage, depth in enumerate(depths)
    ]
    return LatencyTable(whole=times[""], blocks=tuple(saved))


def milliseconds(models: Mapping[str, OnnxModel], *, images: Prepared) -> dict[str, float]:
    """Return the time of a single image by name, the median of turns; `images` as for `latency.speedups`."""
    ways = {name: Repeated(model.logits, batch_of(images, name, size=1)) for name, model in models.items()}
    speeds = interleave(ways, seconds=SECONDS * len(ways), rounds=ROUNDS, needed=len(ways))
    return {name: 1000 / spread(values).median for name, values in speeds.items()}


def even_depths(depths: Depths, scores: Mapping[str, float] | None = None) -> list[Depths]:
    """Return smaller depths, the largest first, each with one block less than the one before it.

    All stages are shortened by about the same share, less than one block apart: a choice that empties one stage was
    measured to be worse. Of the stages that have more than their share, the one whose next block matters least gives.

    Args:
        scores: the importance of each removable block; None: all are equal, and later stages give first.
    """
    keep, choices = list(depths), list[Depths]()
    for left in range(sum(depths) - 1, len(depths) - 1, -1):
        share = left / sum(depths)
        above = {stage: count - depths[stage] * share for stage, count in enumerate(keep) if count > 1}
        ahead = [stage for stage, more in above.items() if more > 0] or [max(above, key=lambda stage: above[stage])]
        gives = min(reversed(ahead), key=lambda stage: _next_score(depths[stage], keep[stage], stage + 1, scores or {}))
        keep[gives] -= 1
        choices.append(tuple(keep))
    return choices


def _next_score(depth: int, count: int, stage: int, scores: Mapping[str, float]) -> float:
    """Return the importance of the block that a stage gives next, when `count` of its `depth` blocks are left."""
    ascending = sorted(scores.get(f"layer{stage}.{place}", 0.0) for place in range(1, depth))
    return ascending[depth - count]


def _alone(depths: Depths, stage: int) -> Depths:
    """Return the depths with one block in one stage."""
    return (*depths[:stage], 1, *depths[stage + 1 :])
