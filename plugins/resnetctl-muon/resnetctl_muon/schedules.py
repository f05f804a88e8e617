"""The trapezoid schedule."""

from resnetctl.spec import SchedulePoint


def trapezoid(point: SchedulePoint, *, final_lr: float = 0.0, decay: float = 0.4) -> float:
    """Stay at the peak, then fall to `final_lr` along a straight line.

    Zhai et al. 2022, arXiv:2106.04560, section 3.5; also called warmup-stable-decay.

    Args:
        point: the place in the run.
        final_lr: factor at the end, from `schedule.final_lr`.
        decay: share of the steps after the warm-up on which the rate falls, 0 to 1.

    Raises:
        ValueError: `decay` is not in 0..1.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay is {decay}, not a share in 0..1")
    left = 1 - point.done
    return 1.0 if left >= decay else final_lr + (1 - final_lr) * left / decay
