"""The table of verbs. The first help screen needs no more than this; each module is imported when its verb is used."""

from resnetctl.cli.parser.command import Group, Lazy
from resnetctl.cli.parser.common import RootOptions

WORK, AROUND = "Work", "Around it"

ROOT = Group(
    name="resnetctl",
    summary="From images to a checked ONNX file: train, measure and ship residual networks.",
    options=RootOptions,
    members={
        "data": Lazy("resnetctl.cli.commands.data", "Get, add, check and look at image data", WORK),
        "train": Lazy("resnetctl.cli.commands.train", "Train a network from scratch", WORK),
        "finetune": Lazy("resnetctl.cli.commands.finetune", "Adapt trained weights to your classes", WORK),
        "eval": Lazy("resnetctl.cli.commands.evaluate", "Measure accuracy on images it has not seen", WORK),
        "predict": Lazy("resnetctl.cli.commands.predict", "Classify image files", WORK),
        "export": Lazy("resnetctl.cli.commands.export", "Write ONNX, and prove that it agrees", WORK),
        "bench": Lazy("resnetctl.cli.commands.bench", "Time this machine, and say what would be faster", AROUND),
        "weights": Lazy("resnetctl.cli.commands.weights", "Look into weights files; import foreign ones", AROUND),
        "runs": Lazy("resnetctl.cli.commands.runs", "List and show runs", AROUND),
        "plugins": Lazy("resnetctl.cli.commands.plugins", "List and show networks, blocks, policies, datasets", AROUND),
        "config": Lazy("resnetctl.cli.commands.config", "Show each value and where it came from", AROUND),
    },
    notes=("Shell:   resnetctl --install-completion    completes commands and names",),
    examples=(
        ("resnetctl train --data digits", "a first run: no download, a minute"),
        ("resnetctl eval", "accuracy of the newest run on test"),
        ("resnetctl export --onnx", "a checked file for onnxruntime"),
        ("resnetctl train --arch resnet56", "CIFAR-10, downloaded and verified"),
        ("resnetctl finetune --data ./photos", "your folders, one per class"),
    ),
)
