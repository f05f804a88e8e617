"""Timing real steps: what is counted, and that the job does not notice."""

import copy
import gc
import weakref

import pytest
import torch
from support.jobs import job

from resnetctl.engine.loop import StepResult, fit
from resnetctl.engine.schedule import work
from resnetctl.system.signals import Stop
from resnetctl.training.job import fresh_model, fresh_state, make_plan
from resnetctl.training.pace import MOST_STEPS, PARTS, Pace, TimedStep, TimedSteps, at_threads, eval_rate, pace


def trial(*sets: str, watch: bool = False) -> TimedSteps:
    settled = job(*sets)
    return TimedSteps(settled, fresh_state(settled, fresh_model(settled)), watch=watch)


def test_steps_are_those_of_fit_and_go_on_past_the_end_of_the_run() -> None:
    settled = job("epochs=1", "batch_size=16")  # 54 images: 16, 16, 16, 6
    state = fresh_state(settled, fresh_model(settled))
    kept = copy.deepcopy(state)
    tried = TimedSteps(settled, state)
    assert [tried.step().images for _ in range(6)] == [16, 16, 16, 6, 16, 16]
    real = [fact for fact in fit(kept, make_plan(settled, Stop())) if isinstance(fact, StepResult)]
    assert [fact.images for fact in real] == [16, 16, 16, 6]
    assert state.step == 6


def test_the_parts_of_a_watched_step_are_all_of_it() -> None:
    tried = trial(watch=True)
    taken = [tried.step() for _ in range(5)]
    for step in taken:
        assert len(step.parts) == len(PARTS)
        assert min(step.parts) >= 0
        assert sum(step.parts) == pytest.approx(step.seconds)
    assert trial().step().parts == ()


def test_watching_changes_no_number() -> None:
    settled = job()
    states = [fresh_state(settled, fresh_model(settled)) for _ in range(2)]
    for state, watch in zip(states, (True, False), strict=True):
        tried = TimedSteps(settled, state, watch=watch)
        for _ in range(4):
            tried.step()
    one, two = (state.model.state_dict() for state in states)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_steps_take_at_least_one_and_end() -> None:
    tried = trial()
    assert len(tried.steps(0.0)) == 1
    assert len(tried.steps(1e9)) == MOST_STEPS
    assert tried.rate(0.0) > 0


def test_a_pace_has_every_cost_of_an_epoch() -> None:
    settled = job()
    found = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=0.0)
    assert (found.timed, found.images) == (1, 16)
    assert min(found.step, found.check, found.save) > 0


def test_every_side_of_growing_images_is_timed_and_counts_by_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = job("progressive.initial_scale=0.5", "progressive.delay_fraction=0.8", "epochs=10")
    monkeypatch.setattr(
        TimedSteps, "steps", lambda self, seconds: [TimedStep(seconds=16.0 * self.side**2, images=16) for _ in range(3)]
    )
    found = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=1.0)
    size = settled.image.size
    assert found.timed == 6
    assert found.step == pytest.approx(16 * (0.8 * (size // 2) ** 2 + 0.2 * size**2))


def test_of_many_sides_four_are_timed_and_the_others_cost_what_their_pixels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = job("progressive.initial_scale=0.25", "progressive.size_increment=1", "size=32", "epochs=40")
    monkeypatch.setattr(TimedSteps, "steps", lambda self, seconds: [TimedStep(seconds=16.0 * self.side**2, images=16)])
    found = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=1.0)
    assert len(settled.sides) == 25
    assert found.timed == 4
    whole = work(settled.sides, start=0, stop=settled.steps)
    assert found.step == pytest.approx(16 * whole / settled.steps)


def test_a_trial_is_gone_with_its_last_reference() -> None:
    settled = job()
    state = fresh_state(settled, fresh_model(settled))
    gc.collect()
    gc.disable()
    try:
        tried = TimedSteps(settled, state)
        tried.step()
        gone = weakref.ref(tried)
        del tried
        assert gone() is None, "its images would stay on the device"
    finally:
        gc.enable()


def test_without_val_there_is_nothing_to_check() -> None:
    settled = job("val_fraction=0")
    assert pace(settled, fresh_state(settled, fresh_model(settled)), seconds=0.0).check == 0.0


def test_a_batch_is_never_larger_than_the_data() -> None:
    settled = job("batch_size=4096")
    found = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=0.0)
    assert found.images == len(settled.train)


def test_arithmetic_of_a_pace() -> None:
    found = Pace(step=0.5, images=100, check=2.0, save=1.0, timed=3)
    assert found.rate() == 200
    assert found.epoch(10) == 8.0


def test_an_evaluation_stops_with_its_time_but_sees_a_batch() -> None:
    settled = job()
    assert settled.val is not None
    state = fresh_state(settled, fresh_model(settled))
    assert eval_rate(settled, settled.val, state=state, seconds=0.0) > 0


def test_work_at_so_many_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert at_threads(2, lambda: float(torch.get_num_threads()))() == 2.0
    finally:
        torch.set_num_threads(before)
