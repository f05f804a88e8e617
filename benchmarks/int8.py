"""Measure `export --onnx --int8`: size, accuracy on test, and speed, of the public resnet20 on CIFAR-10 as JPEG.

    python benchmarks/int8.py WEIGHTS.safetensors --data cifar10-jpeg

WEIGHTS are imported with `resnetctl weights import`; the dataset is in the store.
"""

import argparse
import json
import tempfile
from pathlib import Path

from machine import hardware, versions

import resnetctl as rc


def main() -> None:
    """Export both files and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = rc.export(
            arguments.weights, out=Path(folder) / "int8.onnx", int8=True, data=arguments.data, allow_slower=True
        )
        tests = {
            name: rc.evaluate(path, data=arguments.data, split="test").report
            for name, path in (("float32", arguments.weights), ("int8", report.path))
        }
    accuracy = {name: [test.top1, *test.interval] for name, test in tests.items()}
    found = {
        "export": report.to_json(),
        "test": accuracy,
        "hardware": hardware(),
        "versions": versions("torch", "onnxruntime"),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
