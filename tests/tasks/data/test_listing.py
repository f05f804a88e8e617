"""`data list` works without numpy and with a damaged card."""

import json
import subprocess
import sys
from pathlib import Path

from support.pictures import tree, write_tree
from support.toy_dataset import done

from resnetctl.system.settings import Settings
from resnetctl.tasks.data.add import AddRequest, add
from resnetctl.tasks.data.listing import listing


def test_list_loads_no_numpy_pillow_or_torch(tmp_path: Path, settings: Settings) -> None:
    done(add(AddRequest(path=write_tree(tmp_path / "p", tree()), name="pets"), settings))
    program = (
        "import sys, json\n"
        "from resnetctl.system import settings\n"
        "from resnetctl.tasks.data.listing import listing\n"
        "print(json.dumps(listing(settings.load()).to_json()))\n"
        "assert not {'numpy', 'PIL', 'torch'} & set(sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    rows = {row["name"]: row for row in json.loads(output)["datasets"]}
    assert {"digits", "cifar10", "cifar100", "mnist", "fashion-mnist", "pets"} <= rows.keys()
    assert rows["pets"]["card"]["splits"] == {"train": 8, "test": 4}
    assert (rows["digits"]["in_store"], rows["digits"]["distribution"]) == (False, "resnetctl")


def test_list_survives_a_damaged_card(tmp_path: Path, settings: Settings) -> None:
    done(add(AddRequest(path=write_tree(tmp_path / "p", tree()), name="pets"), settings))
    (settings.data_dir / "pets" / "card.json").write_text("{")
    (row,) = [row for row in listing(settings).datasets if row.name == "pets"]
    assert row.card is None
    assert "cannot be read" in row.problem
