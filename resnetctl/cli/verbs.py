"""The table of verbs. The first help screen needs no more; the module of a verb is imported on its first use."""

from resnetctl.cli.parser.command import Group, Lazy
from resnetctl.cli.parser.common import RootOptions

WORK, TOOLS = "Work", "Tools"


def names() -> list[str]:
    """Return the names of the verbs. No plugin may use one of them."""
    return list(ROOT.members)


ROOT = Group(
    name="resnetctl",
    summary="From images to a deployed residual network: train, evaluate, export.",
    options=RootOptions,
    kind="command",
    members={
        "data": Lazy("resnetctl.cli.commands.data", "Get, add, check and show image data", WORK),
        "train": Lazy("resnetctl.cli.commands.train", "Train a network from scratch", WORK),
        "finetune": Lazy("resnetctl.cli.commands.finetune", "Adapt trained weights to your classes", WORK),
        "sweep": Lazy("resnetctl.cli.commands.sweep", "Train many configs or seeds, and compare them", WORK),
        "eval": Lazy("resnetctl.cli.commands.evaluate", "Measure accuracy on a split, by default test", WORK),
        "report": Lazy("resnetctl.cli.commands.report", "Say what a network is worth, and compare two", WORK),
        "predict": Lazy("resnetctl.cli.commands.predict", "Classify image files", WORK),
        "explain": Lazy("resnetctl.cli.commands.explain", "Show what a network looked at, as maps", WORK),
        "compress": Lazy("resnetctl.cli.commands.compress", "Make a network smaller and faster", WORK),
        "export": Lazy("resnetctl.cli.commands.export", "Write an ONNX file, checked against PyTorch", WORK),
        "recipes": Lazy("resnetctl.cli.commands.scale.recipes", "Accuracy of the packaged recipes; verify it", TOOLS),
        "slurm": Lazy("resnetctl.cli.commands.scale.slurm", "Print a batch script for SLURM", TOOLS),
        "bench": Lazy("resnetctl.cli.commands.bench", "Time this machine, suggest what is faster", TOOLS),
        "weights": Lazy("resnetctl.cli.commands.weights", "Show weights files, import others", TOOLS),
        "runs": Lazy("resnetctl.cli.commands.runs", "List, compare, export, remove and verify runs", TOOLS),
        "plugins": Lazy("resnetctl.cli.commands.plugins", "List, show, check and create plugins", TOOLS),
        "config": Lazy("resnetctl.cli.commands.config", "Show the config and where each value came from", TOOLS),
    },
    notes=("Shell:   resnetctl --install-completion    sets up completion",),
    examples=(
        ("resnetctl train --data digits", "a first run: no download, a minute"),
        ("resnetctl eval", "accuracy of the newest run on test"),
        ("resnetctl export --onnx", "a checked file for onnxruntime"),
        ("resnetctl train --arch resnet56", "CIFAR-10, downloaded and verified"),
        ("resnetctl finetune --data ./photos", "your folders, one per class"),
    ),
)
