"""Timing counts every cost of an epoch, and changes no number of the job."""

import copy
import gc
import weakref

import pytest
import torch
from support.jobs import job

from resnetctl.engine.loop import StepResult, fit
from resnetctl.engine.schedule import work
from resnetctl.system.signals import Stop
from resnetctl.training.job import fresh_model, fresh_state
from resnetctl.training.plan import make_plan
from resnetctl.training.timing.pace import MOST_STEPS, PARTS, Pace, TimedStep, TimedSteps, at_threads, eval_rate, pace


def timed_steps(*sets: str, watch: bool = False) -> TimedSteps:
    settled = job(*sets)
    return TimedSteps(settled, fresh_state(settled, fresh_model(settled)), watch=watch)


def test_timed_steps_are_those_of_fit_and_go_on_past_the_end_of_the_run() -> None:
    settled = job("epochs=1", "batch_size=16")  # 54 images: 16, 16, 16, 6
    state = fresh_state(settled, fresh_model(settled))
    kept = copy.deepcopy(state)
    timer = TimedSteps(settled, state)
    assert [timer.step().images for _ in range(6)] == [16, 16, 16, 6, 16, 16]
    real = [fact for fact in fit(kept, make_plan(settled, Stop())) if isinstance(fact, StepResult)]
    assert [fact.images for fact in real] == [16, 16, 16, 6]
    assert state.step == 6


def test_an_accelerator_has_several_steps_in_its_queue_before_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    monkeypatch.setattr(
        torch.Tensor, "item", lambda self, item=torch.Tensor.item: waits.append(item(self)) or waits[-1]
    )
    settled = job("epochs=1", "batch_size=16")
    state = fresh_state(settled, fresh_model(settled))
    timer = TimedSteps(settled, state)
    timer.queued = 4  # as on an accelerator
    waits.clear()
    assert timer.step().images == 54 / 4
    assert state.step == 4
    assert len(waits) == 1


def test_the_parts_of_a_watched_step_sum_to_its_time() -> None:
    timer = timed_steps(watch=True)
    taken = [timer.step() for _ in range(5)]
    for step in taken:
        assert len(step.parts) == len(PARTS)
        assert min(step.parts) >= 0
        assert sum(step.parts) == pytest.approx(step.seconds)
    assert timed_steps().step().parts == ()


def test_watching_changes_no_number() -> None:
    settled = job()
    states = [fresh_state(settled, fresh_model(settled)) for _ in range(2)]
    for state, watch in zip(states, (True, False), strict=True):
        timer = TimedSteps(settled, state, watch=watch)
        for _ in range(4):
            timer.step()
    one, two = (state.model.state_dict() for state in states)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_at_least_one_step_and_at_most_most_steps_are_taken() -> None:
    timer = timed_steps()
    assert len(timer.steps(0.0)) == 1
    assert len(timer.steps(1e9)) == MOST_STEPS
    assert timer.rate(0.0) > 0


def test_a_pace_has_every_cost_of_an_epoch() -> None:
    settled = job()
    measured = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=0.0)
    assert (measured.timed, measured.images) == (1, 16)
    assert min(measured.step, measured.check, measured.save) > 0


def test_every_side_of_growing_images_is_timed_and_weighted_by_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = job("progressive.initial_scale=0.5", "progressive.delay_fraction=0.8", "epochs=10")
    monkeypatch.setattr(
        TimedSteps, "steps", lambda self, seconds: [TimedStep(seconds=16.0 * self.side**2, images=16) for _ in range(3)]
    )
    measured = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=1.0)
    size = settled.image.size
    assert measured.timed == 6
    assert measured.step == pytest.approx(16 * (0.8 * (size // 2) ** 2 + 0.2 * size**2))


def test_four_of_many_sides_are_timed_and_the_others_interpolated_by_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = job("progressive.initial_scale=0.25", "progressive.size_increment=1", "size=32", "epochs=40")
    monkeypatch.setattr(TimedSteps, "steps", lambda self, seconds: [TimedStep(seconds=16.0 * self.side**2, images=16)])
    measured = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=1.0)
    assert len(settled.sides) == 25
    assert measured.timed == 4
    whole = work(settled.sides, start=0, stop=settled.steps)
    assert measured.step == pytest.approx(16 * whole / settled.steps)


def test_timed_steps_are_freed_with_their_last_reference() -> None:
    settled = job()
    state = fresh_state(settled, fresh_model(settled))
    gc.collect()
    gc.disable()
    try:
        timer = TimedSteps(settled, state)
        timer.step()
        gone = weakref.ref(timer)
        del timer
        assert gone() is None, "its images would stay on the device"
    finally:
        gc.enable()


def test_without_val_the_evaluation_costs_nothing() -> None:
    settled = job("val_fraction=0")
    assert pace(settled, fresh_state(settled, fresh_model(settled)), seconds=0.0).check == 0.0


def test_a_batch_has_at_most_all_training_images() -> None:
    settled = job("batch_size=4096")
    measured = pace(settled, fresh_state(settled, fresh_model(settled)), seconds=0.0)
    assert measured.images == len(settled.train)


def test_a_pace_gives_the_rate_and_the_time_of_an_epoch() -> None:
    measured = Pace(step=0.5, images=100, check=2.0, save=1.0, timed=3)
    assert measured.rate() == 200
    assert measured.epoch(10) == 8.0


def test_an_evaluation_stops_after_its_time_but_measures_one_batch() -> None:
    settled = job()
    assert settled.val is not None
    state = fresh_state(settled, fresh_model(settled))
    assert eval_rate(settled, settled.val, state=state, seconds=0.0) > 0


def test_at_threads_sets_the_number_of_threads_before_the_work() -> None:
    before = torch.get_num_threads()
    try:
        assert at_threads(2, lambda: float(torch.get_num_threads()))() == 2.0
    finally:
        torch.set_num_threads(before)
