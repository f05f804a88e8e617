"""The runs of a group say a notice once for a setting, with the keys of a file."""

from resnetctl.facts import Notice
from resnetctl.hints import Call, Setting
from resnetctl.tasks.sweep.remarks import Remarks

HINTS = (
    Setting("lr", 0.025, note="or another smaller one"),
    Setting("warmup", 1),
    Setting("find_lr", note="tries rising learning rates"),
    Setting("distill.weight", 0.25),
    Setting("sampler", "shuffle"),
    Call("data show", ("pets",)),
)


def loss(number: float) -> Notice:
    return Notice(f"the train loss of epoch 1 is {number:,.1f}, and guessing has 2.3", hint=HINTS)


def test_a_notice_is_said_once_for_a_setting_whatever_its_numbers() -> None:
    remarks = Remarks(["lr", "seed"])
    points = [{"lr": lr, "seed": seed} for lr in (0.1, 0.2) for seed in (0, 1, 2)]
    said = [[*remarks.of(loss(31.5 * number), point)] for number, point in enumerate(points, start=1)]
    assert [len(notices) for notices in said] == [1, 0, 0, 1, 0, 0]
    assert [*remarks.of(Notice("another"), points[0])] == [Notice("another")]


def test_hints_are_keys_of_a_file_and_no_value_of_a_key_that_varies() -> None:
    (notice,) = Remarks(["seed"]).of(loss(31), {"seed": 1})
    assert notice.hint == (
        "lr = 0.025    or another smaller one",
        "warmup = 1",
        "distill.weight = 0.25",
        'sampler = "shuffle"',
        Call("data show", ("pets",)),
    )
    (varied,) = Remarks(["lr", "warmup"]).of(loss(31), {"lr": 0.1, "warmup": 0})
    assert varied.hint == notice.hint[2:]


def test_hints_stay_flags_where_flags_gave_the_config() -> None:
    (notice,) = Remarks(["seed"], in_flags=True).of(loss(31), {"seed": 1})
    assert notice.hint == (*HINTS[:2], *HINTS[3:])
