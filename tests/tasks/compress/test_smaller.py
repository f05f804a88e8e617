"""A cut network keeps what describes it and loses what was measured on the whole one."""

import dataclasses
from importlib.metadata import version

from support.compressed import DEEP

from resnetctl import runs
from resnetctl.data.store import open_store
from resnetctl.models.resnet import build
from resnetctl.spec import Calibration, Plugins
from resnetctl.system import settings
from resnetctl.tasks.compress import Cut, smaller
from resnetctl.tasks.compress.judge import Judge
from resnetctl.weights.file import load_network, read_header


def test_the_card_of_a_cut_network_has_no_number_of_the_whole_one(run: runs.RunDir) -> None:
    card = read_header(run.weights).card
    net = build(DEEP, classes=3, image=card.image)
    cut = smaller.cut_card(dataclasses.replace(card, calibration=_calibration(), teacher={"arch": "a"}), net)
    assert (cut.metrics, cut.calibration, cut.teacher, cut.config_sha256) == ({}, None, {}, "")
    assert (cut.classes, cut.split, cut.trained_on) == (card.classes, card.split, card.trained_on)


def test_the_card_of_a_cut_network_requires_the_plugins_that_built_it(run: runs.RunDir) -> None:
    """`torch` stands for a plugin's distribution that was updated since the training, and `gone` for a removed one."""
    card = read_header(run.weights).card
    old = Plugins(required={"torch": "0.1", "gone": "3"}, used={"torch": "0.1"})
    cut = smaller.cut_card(dataclasses.replace(card, plugins=old), build(DEEP, classes=3, image=card.image))
    assert cut.plugins == Plugins(required={"torch": version("torch"), "gone": "3"}, used={"torch": "0.1"})


def test_a_network_is_measured_on_val_before_and_after(run: runs.RunDir) -> None:
    header = read_header(run.weights)
    store = open_store(settings.load().data_dir, "zoo")
    made = smaller.Planner(header, store).smaller(Cut(keep_blocks=(1, 1)))
    judge = Judge(header.card, store)
    assert made.facts.accuracy[0] == judge.accuracy(load_network(header))
    assert made.facts.accuracy[0].count == 18
    assert made.card.arch.depths == (1, 1)


def _calibration() -> Calibration:
    return Calibration(temperature=1.5, sets={"0.9": 0.2}, images=100)
