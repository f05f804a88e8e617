"""A SLURM of one node on this machine, for as long as a test needs it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.several import until

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
MUNGE = Path("/run/munge/munge.socket.2")
CONF = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=60 MaxTime=60
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF MaxTime=60
"""


def missing() -> str:
    """Return why no SLURM can be started here; empty if one can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    if absent:
        return f"SLURM is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "SLURM can only be started by root"


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Start munge and SLURM with the partitions `low` and `high`, which preempts; stop SLURM at the end."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, ports=_ports(), cores=os.cpu_count()))
    if not MUNGE.exists():
        MUNGE.parent.mkdir(exist_ok=True)
        shutil.chown(MUNGE.parent, "munge", "munge")
        subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True)
    before = dict(os.environ)
    os.environ["SLURM_CONF"] = str(conf)
    try:
        subprocess.run(["/usr/sbin/slurmctld", "-f", conf], check=True)
        subprocess.run(["/usr/sbin/slurmd", "-f", conf, "-N", host], check=True)
        until(lambda: "idle" in told("sinfo", "-h", "-o", "%T"), 60)
        yield
    finally:
        subprocess.run(["scontrol", "shutdown"], check=False)
        os.environ.clear()
        os.environ.update(before)


def told(*words: str) -> str:
    """Return what a program of SLURM prints; empty if it fails."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def submit(cwd: Path, *words: str) -> str:
    """Submit a job in `cwd`; return its number."""
    done = subprocess.run(["sbatch", "--parsable", *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(job: str) -> str:
    """Return the state of a job, such as `RUNNING`; empty when SLURM has forgotten it."""
    return told("squeue", "-h", "-j", job, "-t", "all", "-o", "%T")


def _ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]
