"""The job, state, plan and run folder of a run that trains, passed as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from resnetctl.engine.distributed import Team
from resnetctl.engine.loop import Plan, TrainState
from resnetctl.runs import RunDir
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job
from resnetctl.training.plan import make_plan


@dataclass(frozen=True, kw_only=True)
class Session:
    """One training process of a run.

    Attributes:
        job: the settled description; it does not change.
        state: the model, the optimizer and the position in the run; every step changes it.
        plan: what `fit` needs besides the state.
        stop: tells whether a signal asked the run to stop.
        run: the run folder, whose lock the caller holds. None in a process that writes nothing.
    """

    job: Job
    state: TrainState
    plan: Plan
    stop: Stop
    run: RunDir | None

    @classmethod
    def of(cls, job: Job, state: TrainState, *, stop: Stop, run: RunDir | None, team: Team | None = None) -> Self:
        """Return the session of `job` that goes on from `state`, in one process of a team."""
        team = team or Team()
        team.stop = stop
        return cls(job=job, state=state, plan=make_plan(job, stop, team=team), stop=stop, run=run)

    @property
    def signum(self) -> int:
        """The signal that stops the run, 0 for none: one that every process of the team knows of."""
        team = self.plan.team
        return self.stop.signum if team.size == 1 else team.stop_signal
