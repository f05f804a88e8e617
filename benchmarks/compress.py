"""Measure `compress` on one network: fewer blocks, fewer channels, int8, a goal, a student, and Torch-Pruning.

    python benchmarks/compress.py WEIGHTS.safetensors --data cifar10-jpeg --work FOLDER [--steps 16] [--train 4096]

A part of train and of test is used. Every way has the same fine-tuning: SGD, batches of 128, with the whole network as
teacher. Speed is measured with onnxruntime and one thread, in alternating pairs with the whole network. Accuracy is
counted on test.

FOLDER keeps the data, the runs and `results.jsonl`, a line for each part, with the CPU seconds that it took and the
cores that other programs kept busy. The same command goes on after a stop: parts that have a line are left out, and a
`compress` that was stopped goes on. Linux only: it reads /proc.
"""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import distil
import machine
import torch

import resnetctl as rc
from resnetctl import registry
from resnetctl.compress.channels import channels_of, with_fewer_channels
from resnetctl.compress.cost import multiply_adds, params
from resnetctl.compress.depths import reestimate_norms
from resnetctl.compress.latency import speedups
from resnetctl.data.splits import open_eval_set
from resnetctl.data.store import build as build_store
from resnetctl.data.store import open_store
from resnetctl.deploy.onnx_session import from_bytes
from resnetctl.errors import CheckFailed
from resnetctl.models.resnet import build
from resnetctl.system import settings
from resnetctl.tasks.compress.judge import Judge
from resnetctl.weights.file import load_model, to_bytes

STUDENT = "resnet14"  # what the student's arch is called while this script runs


def main() -> None:
    """Run the parts one after the other and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, runs and results")
    parser.add_argument("--steps", type=int, default=16, help="of the fine-tuning, with 128 images each")
    parser.add_argument("--train", type=int, default=4096, help="images of train, val among them; 0: all")
    parser.add_argument("--test", type=int, default=2000, help="images of test; 0: all")
    parser.add_argument("--speedup", type=float, default=1.8)
    parser.add_argument("--goal", type=float, default=2.5, help="speed-up of the goal with int8")
    parser.add_argument("--student", default=STUDENT, help="a run, weights or an arch; default: two blocks a stage")
    parser.add_argument(
        "--ratios",
        type=float,
        nargs="*",
        default=[0.3, 0.5, 0.7, 0.9],
        help="channels Torch-Pruning removes, ascending",
    )
    parser.add_argument("--seeds", type=int, default=3, help="of the distillation")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS)[:-1], default=list(PARTS)[:-1])
    arguments = parser.parse_args()
    arguments.weights, arguments.work = arguments.weights.resolve(), (folder := arguments.work.resolve())
    torch.set_num_threads(1)
    arch = load_model(arguments.weights)[1].arch
    student = dataclasses.replace(arch, name=STUDENT, depths=(2,) * len(arch.depths), params=None)
    folder.mkdir(parents=True, exist_ok=True)
    with registry.overlay("arch", **{STUDENT: student}):
        part_of(arguments, folder / "data")
        os.environ |= {"RESNETCTL_RUNS_DIR": str(folder / "runs"), "RESNETCTL_DATA_DIR": str(folder / "data")}
        settings.load.cache_clear()
        for name in parts(arguments):
            if name in (done := results(folder)):
                continue
            before = machine.read()
            verb, *more = name.split()
            try:
                found = PARTS[verb](arguments, folder, *more)
            except CheckFailed as error:
                found = {"failed": str(error), "problems": error.problems}
            spent = {key: round(value, 2) for key, value in machine.read().since(before).items()}
            about = {"hardware": machine.hardware(), "versions": machine.versions(*PACKAGES)} if not done else {}
            with (folder / "results.jsonl").open("a") as file:
                print(json.dumps({"part": name, **found, **spent, **about}), file=file)
            print(name, json.dumps(found), flush=True)


def parts(arguments: argparse.Namespace) -> list[str]:
    """Return the names of all parts; a distillation has one for each seed, with and without the teacher."""
    names = [name for name in arguments.parts if name != "distillation"]
    if "distillation" in arguments.parts:
        names += [f"distillation {how} {seed}" for seed in range(arguments.seeds) for how in ("labels", "kd")]
        names += ["gains"] if arguments.seeds > 1 else []
    return names


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured by part."""
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {(line := json.loads(text))["part"]: line for text in lines}


def part_of(arguments: argparse.Namespace, folder: Path) -> None:
    """Store every nth image of each split of the dataset, under the same name, in another folder. Done once."""
    if (folder / arguments.data).exists():
        return
    whole = open_store(settings.load().data_dir, arguments.data)
    draft = dataclasses.replace(whole.card, splits={}, digests={})
    with build_store(folder, arguments.data, draft=draft) as builder:
        for split, count in (("train", arguments.train), ("test", arguments.test)):
            images = open_eval_set(whole, split, val_split=None)
            step = max(1, len(images.index) // count) if count else 1  # the store is in the order of the classes
            for row in images.index[::step].tolist():
                label = images.classes[images.labels[row]]
                builder.add(split, images.images[row], label=label, name=f"{split}{row}", sha256="")


def training(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the config of every fine-tuning."""
    return {
        "steps": arguments.steps,
        "batch_size": 128,
        "optim.name": "sgd",
        "lr": 0.02,
        "weight_decay": 5e-4,
        "warmup": 0.0,
        "threads": 1,
        "keep": "last",
    }


def compressed(arguments: argparse.Namespace, name: str, **order: Any) -> dict[str, Any]:
    """Return what a run of `compress` with a goal reports."""
    written = arguments.work / "runs" / name / "compressed.json"
    if not written.exists():  # a command that was stopped after the run was made has no line for it
        wanted = {"max_drop": 100.0, **order}
        rc.compress(
            arguments.weights, data=arguments.data, name=name, progress=False, set=training(arguments), **wanted
        )
    report = json.loads(written.read_text())
    stages = [
        {key: stage[key] for key in ("name", "params", "multiply_adds", "bytes", "latency", "accuracy")}
        for stage in report["stages"]
    ]
    kept = ("after", "table", "speedup", "choice", "undone", "test", "accuracy", "seconds")
    return {"stages": stages, **{key: report[key] for key in kept}}


def dense(arguments: argparse.Namespace, _: Path) -> dict[str, Any]:
    """Measure the whole network on test."""
    return {"test": tested(arguments.weights, arguments)}


def blocks(arguments: argparse.Namespace, _: Path) -> dict[str, Any]:
    """Remove blocks to a speed-up."""
    return compressed(arguments, "blocks", speedup=arguments.speedup)


def student(arguments: argparse.Namespace, _: Path) -> dict[str, Any]:
    """Remove blocks to the same speed-up, and let a student compete."""
    return compressed(arguments, "student", speedup=arguments.speedup, student=arguments.student)


def channels(arguments: argparse.Namespace, _: Path) -> dict[str, Any]:
    """Remove half of the inner channels."""
    return compressed(arguments, "channels", channels=0.5)


def goal(arguments: argparse.Namespace, _: Path) -> dict[str, Any]:
    """Reach a speed-up with int8."""
    return compressed(arguments, "goal", speedup=arguments.goal, int8=True)


def int8(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Quantise the whole network."""
    path = folder / "whole-int8.onnx"
    path.unlink(missing_ok=True)
    report = rc.export(arguments.weights, out=path, int8=True, data=arguments.data, allow_slower=True).to_json()
    kept = ("speedup", "gap", "float_bytes", "float_layers", "reduce_range")
    return {"bytes": report["bytes"], **{key: report["int8"][key] for key in kept}, "test": tested(path, arguments)}


def torch_pruning(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Remove inner channels with Torch-Pruning until the network is as fast as that of `blocks`; fine-tune that one.

    If no ratio reaches it, the fastest one is fine-tuned.
    """
    wanted = results(folder).get("blocks", {"speedup": {"1": {"median": arguments.speedup}}})["speedup"]["1"]["median"]
    card = load_model(arguments.weights)[1]
    seen = Judge(card, open_store(settings.load().data_dir, arguments.data)).seen()
    whole = exported(arguments.weights, folder / "whole.onnx")
    speeds = {}
    for ratio in arguments.ratios:
        path = pruned(arguments, folder, ratio=ratio)
        gains = speedups(whole, {"pruned": exported(path, folder / "pruned.onnx")}, images=seen)["pruned"]
        speeds[ratio] = {size: gain.to_json() for size, gain in gains.items()}
        if gains[1].median >= wanted:
            break
    chosen = max(speeds, key=lambda ratio: speeds[ratio][1]["median"])
    return {"wanted": wanted, "speeds": speeds, "ratio": chosen, **tuned(arguments, folder, ratio=chosen)}


def pruned(arguments: argparse.Namespace, folder: Path, *, ratio: float) -> Path:
    """Cut with Torch-Pruning, by group L2 norm over all layers, and return the weights with norms measured again.

    Only the first convolution of each block is cut: shortcuts without parameters tie the other channels in a way that
    Torch-Pruning does not see.
    """
    import torch_pruning as tp

    net, card = load_model(arguments.weights)
    inner = {module for name, module in net.named_modules() if name.startswith("layer") and name.endswith(".conv1")}
    others = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear) and m not in inner]
    pruner = tp.pruner.BasePruner(
        net,
        torch.zeros(1, card.image.channels, card.image.size, card.image.size),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=others,
    )
    pruner.step()
    judge = Judge(card, open_store(settings.load().data_dir, arguments.data))
    reestimate_norms(net, judge.seen(), spec=card.image)
    shapes = channels_of(net, build(card.arch, classes=len(card.classes), image=card.image))
    card = dataclasses.replace(card, arch=with_fewer_channels(card.arch), channels=shapes, metrics={})
    path = folder / f"pruned-{ratio}.safetensors"
    path.write_bytes(to_bytes(net.state_dict(), card))
    return path


def tuned(arguments: argparse.Namespace, folder: Path, *, ratio: float) -> dict[str, Any]:
    """Fine-tune the network that Torch-Pruning cut, and measure it on test."""
    path, name = folder / f"pruned-{ratio}.safetensors", f"pruned-{ratio}"
    shutil.rmtree(folder / "runs" / name, ignore_errors=True)  # of a command that was stopped
    run = rc.finetune(
        path,
        data=arguments.data,
        name=name,
        teacher=arguments.weights,
        val_fraction=0.1,
        progress=False,
        set=training(arguments),
    )
    net, card = load_model(path)
    return {
        "widths": sorted({shape[1] for name, shape in card.channels.items() if name.endswith("conv1")}),
        "params": params(net),
        "multiply_adds": multiply_adds(net, card.image),
        "test": tested(run.path, arguments),
    }


def distillation(arguments: argparse.Namespace, folder: Path, how: str, seed: str) -> dict[str, Any]:
    """Fine-tune the network of two blocks a stage with the labels alone or with the teacher."""
    small, runs = folder / "small.safetensors", folder / "distillation"
    if not small.exists():
        depths = [2] * len(load_model(arguments.weights)[1].arch.depths)
        rc.compress(arguments.weights, keep_blocks=depths, out=small, data=arguments.data)
    shutil.rmtree(runs / f"{how}-{seed}", ignore_errors=True)  # of a command that was stopped
    wanted = argparse.Namespace(student=small, teacher=arguments.weights, data=arguments.data, steps=arguments.steps)
    return distil.measure(wanted, "" if how == "labels" else how, seed=int(seed), folder=runs)


def gains(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what the teacher added on test, by seed, and the mean and the standard deviation."""
    tops = {name: line["test_top1"] for name, line in results(folder).items() if name.startswith("distillation")}
    each = [tops[f"distillation kd {seed}"] - tops[f"distillation labels {seed}"] for seed in range(arguments.seeds)]
    return {"gains": each, "mean": statistics.fmean(each), "deviation": statistics.stdev(each)}


def exported(target: Path, path: Path) -> Any:
    """Return the ONNX file of a run or of weights, opened with one thread."""
    path.unlink(missing_ok=True)
    rc.export(target, out=path, gate="synthetic")
    return from_bytes(path.read_bytes(), str(path))


def tested(target: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return accuracy, interval and count on test."""
    report = rc.evaluate(target, data=arguments.data, split="test").report
    return {"top1": report.top1, "interval": report.interval, "count": report.count}


PACKAGES = ("torch", "onnxruntime", "torch-pruning", "resnetctl")
PARTS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "dense": dense,
    "blocks": blocks,
    "torch-pruning": torch_pruning,
    "channels": channels,
    "int8": int8,
    "goal": goal,
    "student": student,
    "distillation": distillation,
    "gains": gains,
}


if __name__ == "__main__":
    main()
