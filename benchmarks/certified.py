"""Make the tables of `certified.md` from the record of a certification.

RESNETCTL_CERTIFY_LOG=certify.jsonl pytest -m certify
python benchmarks/certified.py certify.jsonl
"""

import argparse
import json
from pathlib import Path


def main(log: Path) -> None:
    """Print one line of a table for each proof that was recorded."""
    print("| proof | what was done |")
    print("| --- | --- |")
    for line in log.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        name, _ = values.pop("test"), values.pop("python")
        print(f"| {name} | {', '.join(f'{key.replace(chr(95), chr(32))} {value}' for key, value in values.items())} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="tables of certified.md")
    parser.add_argument("log", type=Path, help="the record of a certification")
    main(parser.parse_args().log)
