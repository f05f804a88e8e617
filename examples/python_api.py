"""The verbs from Python: train, measure, export, look inside.

python python_api.py [EPOCHS]
"""

import sys

import resnetctl as rc


def main(epochs: int) -> None:
    """Train on the embedded digits, then measure, export and load the run."""
    run = rc.train(arch="resnet20", data="digits", epochs=epochs, set={"optim.nesterov": False})
    outcome = rc.evaluate(run)
    low, high = outcome.report.interval
    print(f"{run.path}: {outcome.report.top1:.1%} on {outcome.split} (95 % interval {low:.1%} to {high:.1%})")

    exported = rc.export(run)
    print(f"{exported.path}: differs from torch by at most {exported.parity.max_abs_diff:.1e}")

    model, card = rc.load(run)
    print(f"{card.arch.name}: {sum(p.numel() for p in model.parameters()):,} parameters, classes {card.classes}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
