"""`env.json` tells which plugins trained which steps, also after resumes that lost steps."""

from typing import Any

import pytest

from resnetctl.runs.used_plugins import UsedPlugins, of_epoch, of_step, used_plugins, with_resume

START: dict[str, Any] = {"python": "3.12", "plugins": {"own": "0.1"}, "code": {"own": {"own.py": "a"}}}


def change(epoch: int, step: int, digest: str) -> UsedPlugins:
    return UsedPlugins(epoch=epoch, step=step, plugins={"own": "0.1"}, code={"own": {"own.py": digest}})


def digests(environment: dict[str, Any]) -> list[Any]:
    return [item.code["own"]["own.py"] for item in used_plugins(environment)]  # type: ignore[index]


def test_each_step_and_epoch_has_the_code_that_trained_it() -> None:
    environment = with_resume(START, change(3, 8, "b"), step=8)
    assert environment["python"] == "3.12"
    items = used_plugins(environment)
    assert items == [change(1, 0, "a"), change(3, 8, "b")]
    assert [of_step(environment, step) for step in (0, 1, 8, 9)] == [items[0], items[0], items[0], items[1]]
    assert [of_epoch(items, epoch) for epoch in (1, 2, 3, 7)] == [items[0], items[0], items[1], items[1]]


def test_a_resume_forgets_the_code_whose_steps_were_lost() -> None:
    environment = with_resume(START, change(3, 8, "b"), step=8)
    assert with_resume(environment, None, step=8) == START
    assert digests(with_resume(environment, None, step=9)) == ["a", "b"]
    assert digests(with_resume(environment, change(3, 8, "c"), step=8)) == ["a", "c"]


def test_code_that_trained_no_step_is_not_listed() -> None:
    environment = with_resume(START, change(1, 0, "b"), step=0)
    assert digests(environment) == ["b"]
    assert of_step(environment, 0) == change(1, 0, "a")
    assert digests(with_resume(environment, change(2, 4, "c"), step=4)) == ["b", "c"]
    assert with_resume(environment, None, step=0) == START


@pytest.mark.parametrize("resumes", ["evil", 7, [1], [{}], [{"epoch": "1", "step": 2}], [{"epoch": 0, "step": -1}]])
def test_entries_that_cannot_be_read_are_left_out(resumes: Any) -> None:
    assert used_plugins(START | {"resumes": resumes}) == [change(1, 0, "a")]


def test_tables_of_another_form_are_empty() -> None:
    (item,) = used_plugins({"plugins": ["own"], "code": 3})
    assert (item.plugins, item.code) == ({}, {})
    (item,) = used_plugins({"plugins": {"own": "no version"}, "code": {"own": "old"}})
    assert (item.plugins, item.code) == ({}, {"own": "old"})
