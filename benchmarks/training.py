"""Jobs of named recipes, and their training timed in CPU seconds, for benchmarks that compare accuracies."""

import time
from dataclasses import replace

from resnetctl.cli.parser.flag_layers import from_sets
from resnetctl.config.draft import draft
from resnetctl.config.layers import from_recipe
from resnetctl.config.schema import TrainConfig
from resnetctl.data.store import Store
from resnetctl.engine.loop import StepResult, fit
from resnetctl.engine.metrics import EvalReport
from resnetctl.system import settings
from resnetctl.system.signals import Stop
from resnetctl.training.job import Job, fresh_model, fresh_state, prepare
from resnetctl.training.plan import make_plan, validate


def job_of(store: Store, name: str, *, sets: list[str]) -> Job:
    """Return the job of a contestant ARCH:RECIPE on one thread; without ARCH it is that of the recipe.

    `sets` are KEY=VALUE for the config.
    """
    arch, _, recipe = name.partition(":")
    own = [f"data={store.card.name}", "threads=1", *sets, *([f"model.arch={arch}"] if arch else [])]
    return prepare(draft(TrainConfig, [from_recipe(recipe), from_sets(own)], settings=settings.load()), store)


def train(job: Job) -> tuple[EvalReport, float]:
    """Take all steps of the job, then measure val once. Return the measures, and the CPU seconds of the steps."""
    state, plan = fresh_state(job, fresh_model(job)), make_plan(job, Stop())
    begun = time.process_time()
    for _ in (fact for fact in fit(state, replace(plan, evaluate=None)) if isinstance(fact, StepResult)):
        pass
    seconds = time.process_time() - begun
    return validate(job, state.shipped.eval()), seconds
