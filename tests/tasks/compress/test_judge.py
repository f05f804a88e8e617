"""Networks are chosen and measured by images of train and of val."""

from resnetctl import runs
from resnetctl.data.store import open_store
from resnetctl.system import settings
from resnetctl.tasks.compress.judge import Judge
from resnetctl.weights.file import read_header


def test_the_images_of_the_choice_are_of_train_and_of_val(run: runs.RunDir) -> None:
    judge = Judge(read_header(run.weights).card, open_store(settings.load().data_dir, "zoo"))
    seen, unseen = judge.seen(), judge.unseen()
    assert (len(seen), len(unseen)) == (72, 18)
    assert not {image.tobytes() for image in seen} & {image.tobytes() for image in unseen}
