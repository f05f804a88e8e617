"""Time a training step with and without a live teacher, in turns: CPU seconds of one thread, random images.

    python benchmarks/teacher_step.py [--student resnet20] [--teacher resnet56] [--rounds 9]

One JSON line for each precision: the median seconds of both, and median and quartiles of their ratio.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from machine import hardware, versions

from resnetctl import registry
from resnetctl.compress.distil import Distillation
from resnetctl.compress.teacher import Teacher
from resnetctl.engine.fold import folded
from resnetctl.engine.hardware.device import place
from resnetctl.engine.objective import StepObjective, Supervised, TrialPlan
from resnetctl.models.resnet import ResNet, build
from resnetctl.spec import Batch, ImageSpec

IMAGE = ImageSpec(size=32, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
CPU = torch.device("cpu")
CLASSES, IMAGES = 10, 128


def main() -> None:
    """Print a line for bf16 and one for fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="resnet20")
    parser.add_argument("--teacher", default="resnet56")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({"hardware": hardware(), "versions": versions("torch")}))
    for precision in ("bf16", "fp32"):
        step = stepper(network(arguments.student), bf16=precision == "bf16")
        ways: dict[str, StepObjective] = {"alone": Supervised(), "taught": taught_by(arguments.teacher)}
        print(json.dumps({"precision": precision, **measured(step, ways, rounds=arguments.rounds)}), flush=True)


def network(arch: str) -> ResNet:
    """Return a fresh network in the memory layout of a training."""
    model = build(registry.get("arch", arch), classes=CLASSES, image=IMAGE)
    place(model, CPU)
    return model


def taught_by(arch: str) -> Distillation:
    """Return the objective with a fresh teacher, folded and without gradients as `compress.teacher.hire` makes it."""
    net = folded(network(arch).eval())
    net.requires_grad_(False)
    place(net, CPU)
    assert isinstance(net, ResNet)
    teacher = Teacher(net=net, image=IMAGE, columns=torch.arange(CLASSES), sha256="")
    return Distillation(teacher=teacher, image=IMAGE, method="kd", temperature=4, weight=0.9)


def stepper(student: ResNet, *, bf16: bool) -> Callable[[StepObjective], float]:
    """Return a function that takes one step of the student with an objective and returns its CPU seconds."""
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(IMAGES, 3, 32, 32).to(memory_format=torch.channels_last)
    targets, rows = torch.randint(0, CLASSES, (IMAGES,)), torch.arange(IMAGES)
    batch = Batch(images=images, targets=targets, index=rows, epoch=0, step=0)

    def step(objective: StepObjective) -> float:
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = objective(student, batch, plan=TrialPlan())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.process_time() - began

    return step


def measured(
    step: Callable[[StepObjective], float], ways: dict[str, StepObjective], *, rounds: int
) -> dict[str, object]:
    """Take `rounds` steps of each way in turns, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, objective in ways.items():
            spent = step(objective)
            if number:
                seconds[name].append(spent)
    ratios = [taught / alone for alone, taught in zip(seconds["alone"], seconds["taught"], strict=True)]
    medians = {f"{name}_seconds": round(statistics.median(values), 3) for name, values in seconds.items()}
    low, middle, high = (round(value, 2) for value in statistics.quantiles(ratios, n=4, method="inclusive"))
    return {**medians, "ratio": middle, "quartiles": [low, high], "n": rounds}


if __name__ == "__main__":
    main()
