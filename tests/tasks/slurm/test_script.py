"""The batch script runs in bash: it starts or resumes the run, and requeues the job only after code 143."""

import os
import subprocess
from pathlib import Path

import pytest
from support.trained import card, make_run

from resnetctl.errors import ConfigError, InputError, UsageError
from resnetctl.system import settings
from resnetctl.tasks.slurm.script import Request, slurm

CONFIG = 'data = "digits"\nshards = 4\nthreads = 2\n'


@pytest.fixture
def config() -> Path:
    Path("my run.toml").write_text(CONFIG)
    return Path("my run.toml")


def script(target: object, **request: object) -> str:
    return slurm(str(target), settings.load(), request=Request(**request)).script  # type: ignore[arg-type]


def execute(text: str, code: int) -> list[str]:
    """Run the script with a fake `srun` that ends with `code`; return the commands that it called, one a line."""
    Path("bin").mkdir(exist_ok=True)
    for name, end in (("srun", code), ("scontrol", 0)):
        path = Path("bin") / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> calls\nexit {end}\n')
        path.chmod(0o755)
    Path("calls").unlink(missing_ok=True)
    environment = {**os.environ, "PATH": f"{Path('bin').absolute()}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    return Path("calls").read_text().splitlines()


def test_the_job_asks_for_what_the_config_needs(config: Path) -> None:
    lines = script(config, nodes=2, time=5400.0, grace=120, gpus=True).splitlines()
    assert lines[0] == "#!/bin/bash"
    for line in (
        "#SBATCH --job-name='my run'",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks=4",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --time=90",
        "#SBATCH --signal=TERM@120",
        "#SBATCH --requeue",
    ):
        assert line in lines
    assert "--gpus" not in script(config)


def test_the_first_start_trains_and_the_next_one_resumes(config: Path) -> None:
    text, place = script(config), Path("runs").absolute()
    assert execute(text, 0) == [f"srun resnetctl train --config my run.toml --name my run-77 --out {place}"]
    (place / "my run-77").mkdir(parents=True)
    (place / "my run-77" / "config.toml").write_text("")
    assert execute(text, 0) == [f"srun resnetctl train --resume {place}/my run-77"]


@pytest.mark.parametrize(
    ("code", "requeues"),
    [
        (0, False),
        (1, False),
        (143, True),
        (130, False),
    ],
)
def test_only_a_job_that_was_stopped_is_requeued(config: Path, code: int, requeues: bool) -> None:
    assert ("scontrol requeue 77" in execute(script(config), code)) == requeues


def test_a_run_is_resumed_where_it_lies() -> None:
    run = make_run(card(), finished=False)
    run.save_config("shards = 2\n", {})
    text = script("first")
    assert "#SBATCH --ntasks=2" in text
    assert execute(text, 143) == [f"srun resnetctl train --resume {run.path.resolve()}", "scontrol requeue 77"]


def test_weights_in_the_config_make_it_a_finetune_run() -> None:
    Path("tune.toml").write_text('data = "digits"\nweights = "torchvision:resnet18"\n')
    assert "srun resnetctl finetune --config tune.toml" in script("tune.toml")


@pytest.mark.parametrize(
    ("request_values", "words"),
    [
        ({"processes": 3}, "3 processes cannot share 4 shards evenly"),
        ({"nodes": 3}, "4 processes cannot share 3 nodes evenly"),
        ({"time": 100.0}, "at least twice the grace"),
    ],
)
def test_what_cannot_be_shared_is_refused(config: Path, request_values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        script(config, **request_values)


def test_a_target_that_is_no_run_and_no_config_is_refused(config: Path) -> None:
    Path("model.bin").write_bytes(b"")
    Path("wrong.toml").write_text("speed = 3\n")
    with pytest.raises(InputError, match="there is no run"):
        script("nothing")
    with pytest.raises(InputError, match="neither a run nor a TOML file"):
        script("model.bin")
    with pytest.raises(ConfigError, match="unknown keys"):
        script("wrong.toml")


@pytest.mark.parametrize(
    ("nodes", "processes", "gpus"),
    [
        (1, 4, 4),
        (2, 4, 2),
        (2, 2, 1),
        (4, 4, 1),
    ],
)
def test_each_process_of_a_node_has_a_gpu_there(config: Path, nodes: int, processes: int, gpus: int) -> None:
    lines = script(config, nodes=nodes, processes=processes, gpus=True).splitlines()
    assert f"#SBATCH --gpus-per-node={gpus}" in lines
    assert f"#SBATCH --ntasks={processes}" in lines
