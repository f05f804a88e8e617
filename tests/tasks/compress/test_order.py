"""What `compress` is asked for is checked before any work, and stored."""

import pytest
from support.compressed import DEEP
from support.trained import card

from resnetctl.errors import InputError, UsageError
from resnetctl.tasks.compress.order import Cut, Order, dataset_of, require_cut


def test_an_order_reads_back_equal() -> None:
    order = Order.of("a", keep_blocks=[2, 1], finetune="5epochs", set={"lr": 0.01}, data=None)
    assert Order.from_json(order.to_json()) == order
    assert (order.target, order.data, order.cut) == ("a", "", Cut(keep_blocks=(2, 1)))


@pytest.mark.parametrize(("text", "length"), [("5epochs", (5, 0.0)), ("90s", (0, 90.0))])
def test_the_training_has_epochs_or_seconds(text: str, length: tuple[int, float]) -> None:
    read = Order(finetune=text).length
    assert read is not None
    assert (read.epochs, read.seconds) == length


def test_a_length_that_is_none_and_keys_without_a_training_are_refused() -> None:
    with pytest.raises(UsageError, match="finetune should be epochs such as 5epochs, or a time such as 10min"):
        Order(finetune="many").require_training()
    with pytest.raises(UsageError, match="none is asked for"):
        Order(set={"lr": 1}).require_training()
    Order(finetune="1epoch", set={"lr": 1}).require_training()


@pytest.mark.parametrize(("key", "order"), [("finetune", {"finetune": "5epochs"}), ("set", {"set": {"lr": 1}})])
def test_a_file_has_no_training(key: str, order: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{key} makes a run"):
        Order(**order).require_file(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="name makes a run"):
        Order().require_file("n")
    Order(speedup=2.0).require_file(None)


def test_an_order_goes_on_only_with_the_same_values() -> None:
    stored = Order(target="/a", keep_blocks=(2, 1), finetune="5epochs")
    Order().require_same(stored, name="n")
    Order(keep_blocks=(2, 1)).require_same(stored, name="n")
    with pytest.raises(UsageError, match="the run 'n' was begun with another value of finetune: 5epochs"):
        Order(finetune="6epochs").require_same(stored, name="n")
    with pytest.raises(UsageError, match="another value of speedup: none"):
        Order(speedup=2.0).require_same(stored, name="n")


def test_the_blocks_of_each_stage_are_a_list_or_text() -> None:
    assert Order.of("net", keep_blocks="2, 2,1").keep_blocks == Order.of("net", keep_blocks=[2, 2, 1]).keep_blocks
    for wrong in ("2,,1", "two", 2):
        with pytest.raises(UsageError, match="is not a list of numbers"):
            Order.of("net", keep_blocks=wrong)  # type: ignore[arg-type]


def test_a_limit_of_zero_is_asked_for() -> None:
    assert Order(target_ms=0.0).has_goal
    with pytest.raises(UsageError, match="the time must be above 0 ms, not 0"):
        Order(target_ms=0.0).require_goal(card(arch=DEEP))
    with pytest.raises(UsageError, match="max_drop makes a run"):
        Order(max_drop=0.0).require_file(None)
    with pytest.raises(UsageError, match="begun with another value of max_drop: 2"):
        Order(max_drop=0.0).require_same(Order(max_drop=2.0), name="n")
    with pytest.raises(UsageError, match="begun with another value of max_drop: 0"):
        Order(max_drop=2.0).require_same(Order(max_drop=0.0), name="n")


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({}, "give one of these: the blocks to keep, the share of the channels, or a speed-up"),
        ({"keep_blocks": (1, 1), "speedup": 2.0}, "give one of these"),
        ({"channels": 0.5, "speedup": 2.0}, "give one of these"),
        ({"channels": 1.0}, "the share of the channels must be above 0 and below 1, not 1"),
        ({"channels": 0.0}, "the share of the channels must be above 0"),
        ({"channels": float("nan")}, "the share of the channels must be above 0"),
        ({"keep_blocks": (0, 1)}, "cannot be kept"),
        ({"keep_blocks": (3, 2)}, "has 3,2 blocks already"),
        ({"speedup": 1.0}, "the speed-up must be above 1"),
        ({"speedup": float("inf")}, "the speed-up must be above 1"),
        ({"speedup": float("nan")}, "the speed-up must be above 1"),
    ],
)
def test_a_cut_that_is_not_possible_is_refused(cut: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        require_cut(Cut(**cut), card(arch=DEEP))  # type: ignore[arg-type]


def test_a_network_without_removable_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="every stage of the network has one block"):
        require_cut(Cut(speedup=2.0), card())


def test_the_dataset_is_the_named_one_or_that_of_the_training() -> None:
    trained = card(trained_on={"name": "zoo", "digest": "x"})
    assert (dataset_of(trained, None), dataset_of(trained, "other")) == ("zoo", "other")
    with pytest.raises(InputError, match="name no dataset to measure on"):
        dataset_of(card(), "")
