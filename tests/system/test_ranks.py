"""The place of a process comes from the variables of torchrun, of our launcher or of SLURM."""

import pytest

from resnetctl.errors import UsageError
from resnetctl.system.ranks import Place, first_host, place

TORCH = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu-[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_JOB_ID": "31007",
    "SLURM_STEP_ID": "2",
}


def test_a_process_started_alone_has_no_place() -> None:
    assert place({}) is None
    assert place({"RANK": "0", "WORLD_SIZE": "1"}) is None


def test_torchrun_and_our_launcher_set_the_same_variables() -> None:
    found = place(TORCH | {"MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "29400"})
    assert found == Place(rank=3, size=4, local_rank=1, local_size=2, address="10.0.0.7", port=29400)


def test_two_variables_are_enough_on_one_machine() -> None:
    assert place({"RANK": "1", "WORLD_SIZE": "2"}) == Place(
        rank=1, size=2, local_rank=1, local_size=2, address="127.0.0.1", port=29500
    )


def test_a_step_of_slurm_waits_at_its_first_host() -> None:
    assert place(SLURM) == Place(rank=5, size=8, local_rank=1, local_size=4, address="gpu-07", port=21009)


def test_a_batch_script_of_slurm_is_one_process_whatever_its_job_has() -> None:
    assert place({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "31007"}) is None


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node3", "node3"),
        ("gpu-[07-12,20],login", "gpu-07"),
        ("a1,a2", "a1"),
        ("r[1-2]n", "r1n"),
        ("n[5]", "n5"),
    ],
)
def test_the_first_host_of_a_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RANK": "4"}, "RANK=4 is no process of WORLD_SIZE=4"),
        ({"RANK": "one"}, "RANK is 'one', not a number"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is missing"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
    ],
)
def test_a_wrong_variable_is_one_clear_error(changes: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        place(TORCH | changes)
