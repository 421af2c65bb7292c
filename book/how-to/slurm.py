"""Train an ensemble on a SLURM cluster, through Dask.

Copy this file, fill in the first lines, and start it where it may run as long as the training takes: on the login node
if that is allowed, else in a small job of its own (``sbatch --wrap "python slurm.py"``).  It submits jobs whose
processes train chunks of networks; this process only hands them out and collects what they send back.  If it is
stopped, start it again: it goes on from the checkpoints.
"""

import os
import shlex
from pathlib import Path

import pigmm
from pigmm.ensemble import default_chunk
from pigmm.memory import estimate_memory

CONFIG = pigmm.EnsembleConfig(dataset="mnist", hidden=(640, 640), runs=1000)
SHARED = Path.home() / "pigmm"  # a folder that all machines see under this name, and may write into
PARTITION, ACCOUNT = None, None  # names on your cluster; None for its default
JOBS, PROCESSES = 4, 16  # jobs, and in each so many processes of one thread
HOURS = 8  # of each job; chunks that are not finished by then go on in another job


def make_cluster(config=CONFIG, shared=SHARED, processes=PROCESSES, hours=HOURS):
    """A Dask cluster whose workers are SLURM jobs; none is submitted before ``cluster.scale``."""
    from dask_jobqueue import SLURMCluster

    # Dask pauses a process at 80 % of its share of the memory and ends it at 95 %.
    each = 1.5 * estimate_memory(config, default_chunk(config), backend="compiled")
    data = os.environ.get("PIGMM_DATA", str(shared / "data"))
    return SLURMCluster(
        queue=PARTITION,
        account=ACCOUNT,
        cores=processes,
        processes=processes,
        memory=f"{each * processes / 1e9:.1f} GB",
        walltime=f"{hours:02d}:00:00",
        log_directory=str(shared / "logs"),
        job_script_prologue=["export OMP_NUM_THREADS=1", f"export PIGMM_DATA={shlex.quote(data)}"],
        # Leave some minutes before SLURM ends the job, so that Dask does not take it for a crash.
        worker_extra_args=["--lifetime", f"{60 * hours - 15}m", "--lifetime-stagger", "5m"],
        scheduler_options={"dashboard_address": ":0"},  # a free port, so that two trainings do not meet
        # interface="ib0",  # where machines reach each other over another network than the usual one
    )


def main():
    from dask.distributed import Client

    with make_cluster() as cluster, Client(cluster) as client:
        cluster.scale(jobs=JOBS)
        pigmm.train(
            CONFIG, client=client, checkpoint_dir=SHARED / "checkpoints", output=SHARED / f"{CONFIG.digest()}.npz"
        )


if __name__ == "__main__":
    main()
