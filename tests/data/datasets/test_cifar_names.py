from resnetctl.data.datasets.cifar_names import CIFAR10, CIFAR100


def test_names_are_complete_and_in_label_order() -> None:
    assert len(CIFAR10) == 10
    assert len(set(CIFAR100)) == 100
    assert list(CIFAR10) == sorted(CIFAR10)  # both lists are alphabetical at the source
    assert list(CIFAR100) == sorted(CIFAR100)
    assert (CIFAR10[6], CIFAR100[19], CIFAR100[99]) == ("frog", "cattle", "worm")
