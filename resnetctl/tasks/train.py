"""`train` from scratch, and the search for its learning rate."""

from collections.abc import Generator
from functools import partial

from resnetctl.config.draft import Draft
from resnetctl.config.origins import located
from resnetctl.config.schema import TrainConfig
from resnetctl.data.store import open_store
from resnetctl.engine.distributed import Team
from resnetctl.engine.hardware.device import pick_device
from resnetctl.facts import Notice, Progress
from resnetctl.system.settings import Settings
from resnetctl.tasks import datasets, sources
from resnetctl.training.job import fresh_model, fresh_state, prepare
from resnetctl.training.launch import Facts, launch, require_place
from resnetctl.training.timing.lr_search import LrReport, search


def train(draft: Draft[TrainConfig], settings: Settings, *, team: Team | None = None) -> Facts:
    """Train from scratch: yield facts, `Finished` last. A dry run ends with its estimate.

    Every process of a `team` calls this and yields the same facts, but only process 0 writes and yields `Finished`.

    Raises:
        UsageError: there is no such device, or the run folder cannot be created; nothing is fetched then.
        DataError: the data is not available.
        ConfigError: the config contradicts the data.
        Stopped, WorkFailed: as `consume`.
    """
    config, request = draft.config, draft.request
    team = team or Team()
    with team.preparing(), located(draft.asked.origins):
        folder = require_place(request, settings)
        pick_device(config.device)
        datasets.require_head_before(config, settings)
        origin = draft.asked.origins.get("distill.teacher_sha256", "")
        teacher = sources.open_teacher(config.distill, settings, origin=origin)
        with datasets.scratch(settings, config.data, dry_run=request.dry_run) as place:
            name = yield from datasets.ensure_in_turn(config.data, place, team=team, is_kept=place is settings)
            job = prepare(draft, open_store(place.data_dir, name), teacher=teacher)
            yield from launch(job, partial(fresh_model, job), draft=draft, folder=folder, team=team)


def find_lr(draft: Draft[TrainConfig], settings: Settings) -> Generator[Notice | Progress, None, LrReport]:
    """Take steps of the run that `draft` describes while the learning rate rises. Writes no run. Errors as `train`."""
    config = draft.config
    pick_device(config.device)
    teacher = sources.open_teacher(config.distill, settings, origin="")
    with located(draft.asked.origins), datasets.scratch(settings, config.data, dry_run=True) as place:
        name = yield from datasets.ensure_in_turn(config.data, place, team=Team(), is_kept=place is settings)
        job = prepare(draft, open_store(place.data_dir, name), teacher=teacher)
        return (yield from search(job, fresh_state(job, fresh_model(job))))
