"""Pictures of networks that give one label: batches keep the order, and bad pictures take no numbers from others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from resnetctl import registry
from resnetctl.data.reading.decode import BadImage
from resnetctl.tasks.nets.answers import Answering
from resnetctl.tasks.nets.labelled import labelled, likeliest
from resnetctl.tasks.predictions.ranking import Ranking

CLASSES = ("a", "b", "c")


def test_the_first_class_wins_a_tie() -> None:
    shares = np.array([0.2, 0.4, 0.4], np.float32)
    assert [name for name, _ in likeliest(shares, CLASSES, top=3)] == ["b", "c", "a"]


def test_every_picture_gets_the_answer_to_its_own_numbers() -> None:
    sizes: list[int] = []

    def answer(images: Any, vectors: Any) -> tuple[Any, ...]:
        sizes.append(len(images))
        return (np.eye(3, dtype=np.float32)[vectors[:, 0].astype(int)],)

    card: Any = SimpleNamespace(classes=CLASSES)
    net: Any = Answering(card=card, digest="", task=registry.get("task", "classify"), answer=answer)
    pixels, bad = np.zeros((4, 4, 1), np.uint8), BadImage("no image")
    pictures = [(Path(str(place)), bad if place == 1 else pixels) for place in range(5)]
    numbered = [(picture, np.array([place % 3], np.float32)) for place, picture in enumerate(pictures)]
    results = list(labelled(net, numbered, ranking=Ranking(batch=2)))
    assert sizes == [1, 2, 1]
    assert [item.file for item in results] == [file for file, _ in pictures]
    assert [item.guesses[0][0] if item.problem is None else "-" for item in results] == ["a", "-", "c", "a", "b"]
