import itertools
import json
import random

import pytest
import torch
from support.nets import make

from resnetctl.engine import checkpoint
from resnetctl.engine.loop import Plan, TrainState, fit
from resnetctl.engine.optim import LossScale
from resnetctl.errors import WeightsError, WorkFailed

CARD = {"arch": {"name": "tiny"}, "weights_sha256": "ab"}


def stopped(cut: int, **options: float):
    """Return the state and the plan of a run that was stopped after `cut` facts."""
    state, plan = make(steps=9, **options)
    list(itertools.islice(fit(state, plan), cut))
    return state, plan


@pytest.mark.parametrize("options", [{}, {"dropout": 0.5, "ema": 0.9}])
@pytest.mark.parametrize("cut", range(12))
def test_a_restored_run_ends_like_the_uninterrupted_one(cut: int, options: dict[str, float]) -> None:
    whole, plan = make(steps=9, **options)
    expected = list(fit(whole, plan))
    data = checkpoint.to_bytes(stopped(cut, **options)[0], CARD)
    state, plan = make(steps=9, **options)
    for parameter in state.model.parameters():
        torch.nn.init.normal_(parameter)  # restore must replace every value
    checkpoint.restore(state, checkpoint.from_bytes(data))
    assert list(fit(state, plan))[-1] == expected[-1]
    assert all(torch.equal(a, b) for a, b in zip(state.weights().values(), whole.weights().values(), strict=True))
    assert all(torch.equal(state.best.weights[name], value) for name, value in whole.best.weights.items())


@pytest.mark.parametrize("cut", [0, 4, 9])
def test_a_restored_run_in_fp16_has_the_scale_of_the_uninterrupted_one(cut: int) -> None:
    def scaled() -> tuple[TrainState, Plan]:
        state, plan = make(steps=9, precision="fp16", grad_clip=0.5)
        state.scale = LossScale(2.0**4, interval=2)
        return state, plan

    whole, plan = scaled()
    list(fit(whole, plan))
    part, _ = scaled()
    list(itertools.islice(fit(part, plan), cut))
    state, _ = make(steps=9, precision="fp16")
    checkpoint.restore(state, checkpoint.from_bytes(checkpoint.to_bytes(part, CARD)))
    list(fit(state, plan))
    assert vars(state.scale) == vars(whole.scale)
    assert whole.scale.factor == 2.0**8, "doubled after 2, 4, 6 and 8 steps"
    assert checkpoint.to_bytes(state, CARD) == checkpoint.to_bytes(whole, CARD)


class Averages(torch.optim.SGD):
    """An optimizer that evaluates the mean of the weights of all steps."""

    def step(self) -> None:
        super().step()
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            state["steps"] = state.get("steps", 0) + 1
            mean = state.setdefault("mean", torch.zeros_like(parameter))
            mean.lerp_(parameter.detach(), 1 / state["steps"])

    def evaluated(self, parameter: torch.Tensor) -> torch.Tensor:
        return self.state.get(parameter, {}).get("mean", parameter)


def test_the_weights_that_an_optimizer_evaluates_are_judged_saved_and_restored() -> None:
    def averaging() -> tuple[TrainState, Plan]:
        judged: list[torch.Tensor] = []
        state, plan = make(steps=9, evaluate=lambda model: judged.append(model[0].weight.detach().clone()))
        groups = [{"params": [*state.model.parameters()], "lr_scale": 1.0}]
        state.optimizer = Averages(groups, lr=0.1, momentum=0.9)
        state.judged = judged
        return state, plan

    whole, plan = averaging()
    list(fit(whole, plan))
    trained, shipped = whole.model[0].weight, whole.weights()["0.weight"]
    assert not torch.equal(trained, shipped)
    assert torch.equal(whole.judged[-1], shipped)
    part, _ = averaging()
    list(itertools.islice(fit(part, plan), 5))
    state, plan = averaging()
    snapshot = checkpoint.from_bytes(checkpoint.to_bytes(part, CARD))
    assert torch.equal(snapshot.shipped(last=True)["0.weight"], part.weights()["0.weight"])
    checkpoint.restore(state, snapshot)
    list(fit(state, plan))
    assert checkpoint.to_bytes(state, CARD) == checkpoint.to_bytes(whole, CARD)


def test_equal_states_give_equal_bytes() -> None:
    assert checkpoint.to_bytes(stopped(4)[0], CARD) == checkpoint.to_bytes(stopped(4)[0], CARD)


def test_a_restored_state_gives_the_same_bytes() -> None:
    data = checkpoint.to_bytes(stopped(5)[0], CARD)
    state, _ = make(steps=9)
    checkpoint.restore(state, checkpoint.from_bytes(data))
    assert checkpoint.to_bytes(state, CARD) == data


def test_a_snapshot_has_step_card_and_machine() -> None:
    snapshot = checkpoint.from_bytes(checkpoint.to_bytes(stopped(5)[0], CARD))
    assert (snapshot.step, snapshot.epochs, snapshot.card) == (4, 1, CARD)
    assert snapshot.machine["threads"] == torch.get_num_threads()


def test_an_infinite_best_loss_is_restored() -> None:
    state, _ = make(steps=9)
    restored, _ = make(steps=9)
    checkpoint.restore(restored, checkpoint.from_bytes(checkpoint.to_bytes(state, CARD)))
    assert restored.best.loss == float("inf")


def mutate(data: bytes, kind: str, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    if kind == "truncate":
        return data[:place]
    if kind == "append":
        return data + bytes([chance.randrange(256)])
    if kind == "zero":
        return data[:place] + bytes(min(64, len(data) - place)) + data[place + 64 :]
    if kind == "header":
        place = chance.randrange(8 + int.from_bytes(data[:8], "little"))
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


@pytest.mark.parametrize("kind", ["truncate", "append", "flip", "zero", "header"])
def test_no_damage_is_silent(kind: str) -> None:
    chance = random.Random(kind)
    data = checkpoint.to_bytes(stopped(4)[0], CARD)
    for _ in range(150):
        damaged = mutate(data, kind, chance)
        if damaged == data:
            continue
        try:
            snapshot = checkpoint.from_bytes(damaged)
        except WeightsError:
            continue
        # the damage hit padding of the JSON header, so all values must be the same
        original = checkpoint.from_bytes(data)
        assert snapshot.body == original.body
        assert all(torch.equal(snapshot.tensors[name], value) for name, value in original.tensors.items())


def test_another_model_is_refused() -> None:
    data = checkpoint.to_bytes(stopped(4)[0], CARD)
    state, _ = make(steps=9, ema=0.9)
    with pytest.raises(WeightsError, match=r"belongs to another network: [^\n]*$"):
        checkpoint.restore(state, checkpoint.from_bytes(data))


def test_a_newer_schema_is_refused_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SCHEMA", 2)
    data = checkpoint.to_bytes(stopped(4)[0], CARD)
    monkeypatch.setattr(checkpoint, "SCHEMA", 1)
    with pytest.raises(WeightsError, match="schema 2, this version reads 1"):
        checkpoint.from_bytes(data)


def test_a_state_that_is_not_finite_is_never_saved() -> None:
    state, _ = stopped(4)
    with torch.no_grad():
        state.model[6].bias[0] = float("inf")
    with pytest.raises(WorkFailed):
        checkpoint.to_bytes(state, CARD)


def test_the_header_has_one_key() -> None:
    data = checkpoint.to_bytes(stopped(4)[0], CARD)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == [checkpoint.KEY]
