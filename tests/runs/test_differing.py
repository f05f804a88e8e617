"""The keys in which recipes differ, and the runs that trained longer than the other seeds."""

from pathlib import Path

import pytest

from resnetctl.runs.differing import differing, is_off, keys_between, unequal_lengths
from resnetctl.runs.folder import RunDir


def saved(folder: Path, *configs: str) -> list[RunDir]:
    """Runs of one group, each with the config."""
    runs = []
    for number, config in enumerate(configs):
        path = folder / f"{number}-seed{number}"
        path.mkdir(parents=True)
        RunDir(path).save_config(f"seed = {number}\n{config}", {})
        runs.append(RunDir(path))
    return runs


def test_recipes_differ_in_the_keys_of_most_of_their_runs(tmp_path: Path) -> None:
    plain = "lr = 0.1\nwarmup = 0\nepochs = 4\n"
    one = saved(tmp_path / "one", plain, plain, plain.replace("epochs = 4", "epochs = 6"))
    other = saved(tmp_path / "two", *(plain.replace("lr = 0.1", "lr = 0.2").replace("warmup = 0", "warmup = 1"),) * 3)
    assert keys_between(one, other) == ("lr", "warmup")
    assert keys_between(one, one) == ()
    policy = saved(
        tmp_path / "three", *(f"{plain}[augment_args]\nmagnitude = 5\n[schedule]\nmilestones = [0.5]\n",) * 3
    )
    assert keys_between(one, policy) == ("augment.magnitude", "schedule.milestones")


def test_a_key_that_neither_recipe_uses_is_not_named(tmp_path: Path) -> None:
    texts = [f'[distill]\nteacher = ""\nweight = {weight}\n' for weight in (0.5, 0.9)]
    one, other = (saved(tmp_path / str(number), text) for number, text in enumerate(texts))
    assert keys_between(one, other) == ()
    columns = {"distill.teacher": ("", "a"), "distill.weight": (0.5, 0.9)}
    assert not is_off("distill.weight", columns)
    assert differing(columns | {"lr": (1, 1)}) == columns


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        (["epochs = 4"] * 3, ""),
        (
            ["epochs = 6", "epochs = 4", "epochs = 4"],
            "0-seed0 trained for 6 epochs, the other seeds for 4 epochs",
        ),
        (["epochs = 4", "epochs = 1"], "0-seed0 trained for 4 epochs, the other seed for 1 epoch"),
        (
            ["epochs = 6", "steps = 9", "steps = 9"],
            "0-seed0 trained for 6 epochs, the other seeds for 9 steps",
        ),
    ],
)
def test_a_run_that_trained_longer_than_the_other_seeds_is_named(
    tmp_path: Path, lengths: list[str], sentence: str
) -> None:
    assert unequal_lengths(saved(tmp_path / "g", *lengths)) == sentence
