"""Training on a Dask cluster: lost workers, errors, Ctrl-C; and the script for SLURM."""

import _thread
import asyncio
import importlib.util
import os
import re
import shlex
import signal
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("distributed")

import distributed

import pigmm
from pigmm import EnsembleConfig, PigmmError, cli, clusters, train

from .test_ensemble import assert_same

CONFIG = EnsembleConfig(runs=6, epochs=12, hidden=(5, 4, 4), learning_rate=5e-3)
LONG = replace(CONFIG, epochs=2000)
TEMPLATE = Path(__file__).parents[1] / "book" / "how-to" / "slurm.py"


@pytest.fixture(scope="module")
def client():
    """Of two processes on this machine."""
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def here():
    """A client whose workers are threads of this process, so that code can be exchanged."""
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", protocol="inproc://"
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def trained(tmp_path):
    def run(config=CONFIG, **options):
        given = {"backend": "torch", "progress": False, "chunk": 2, "checkpoint_seconds": 0}
        return train(config, **given | {"checkpoint_dir": tmp_path / "checkpoints"} | options)

    return run


def once_running(tmp_path, action):
    """Do something in another thread as soon as a chunk has a checkpoint."""

    def wait():
        deadline = time.monotonic() + 180  # a worker may still be importing torch
        while not list(tmp_path.glob("checkpoints/*/runs-*.running")) and time.monotonic() < deadline:
            time.sleep(0.005)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def kill_busy_worker(client):
    """SIGKILL to a worker that is training."""
    pids = client.run(os.getpid)
    busy = next(address for address, keys in client.processing().items() if keys)
    os.kill(pids[busy], signal.SIGKILL)


def test_a_killed_worker_changes_nothing(trained, client, tmp_path, capsys):
    config = replace(CONFIG, epochs=30)  # long enough for the bar to be seen moving
    total = config.runs * config.epochs
    before = client.run(os.getpid)
    killer = once_running(tmp_path, lambda: kill_busy_worker(client))
    archive = trained(config, client=client, progress=True)
    killer.join()
    client.wait_for_workers(2)
    assert set(client.run(os.getpid).values()) - set(before.values()), "no worker was killed"
    assert_same(archive, trained(config, workers=1, checkpoint_dir=tmp_path / "alone"))
    assert archive.provenance["workers"] == "dask"
    shown = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert f"{total}/{total}" in shown[-1]
    assert "3/3 chunks" in shown[-1]
    counts = {int(count) for count in re.findall(rf"(\d+)/{total}", "\n".join(shown))}
    assert counts - {0, total // 3, 2 * total // 3, total}, "the bar moves with epochs, not with chunks"


def test_ctrl_c_stops_the_tasks_and_keeps_checkpoints(trained, client, tmp_path):
    client.wait_for_workers(2)
    stopper = once_running(tmp_path, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt, match="stopped with 0 of 3 chunks finished"):
        trained(LONG, client=client)
    stopper.join()
    deadline = time.monotonic() + 60  # a worker that is new may still be importing torch
    while any(client.run(lambda dask_worker: dask_worker.state.executing_count).values()):
        assert time.monotonic() < deadline, "a task goes on that nobody waits for"
        time.sleep(0.05)
    assert not any(client.processing().values())
    assert list(tmp_path.glob("checkpoints/*/runs-*.running"))


def test_a_chunk_that_kills_its_workers_is_given_up(trained, client, tmp_path, monkeypatch):
    client.wait_for_workers(2)
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    killer = once_running(tmp_path, lambda: kill_busy_worker(client))
    with pytest.raises(PigmmError, match=r"runs \d to \d were given up: 1 workers died.*Checkpoints stay"):
        trained(LONG, client=client)
    killer.join()


def test_another_version_on_the_workers_is_refused(trained, client, monkeypatch):
    client.wait_for_workers(2)
    monkeypatch.setattr(pigmm.workers, "__version__", "0.0.1")
    words = rf"versions of Dask workers: got 'package_version {pigmm.__version__} on .*; allowed: 0\.0\.1"
    with pytest.raises(PigmmError, match=words.replace("'", "'?")):
        trained(client=client)


def test_a_cluster_that_goes_away_is_said(trained, client, tmp_path):
    with distributed.Client(client.cluster) as another:
        closer = once_running(tmp_path, another.close)
        with pytest.raises(PigmmError, match=r"runs \d to \d were not trained by Dask.*Checkpoints stay"):
            trained(LONG, client=another)
        closer.join()


def failing(monkeypatch, error, times):
    """Let the training of any chunk fail so many times; the list of all attempts."""
    attempts, train_alone = [], clusters.train_alone

    def train_or_fail(piece, report):
        attempts.append(piece.start)
        if len(attempts) <= times:
            raise error
        return train_alone(piece, report)

    monkeypatch.setattr(clusters, "train_alone", train_or_fail)
    return attempts


def test_a_fault_of_the_surroundings_is_tried_again(trained, here, tmp_path, monkeypatch):
    attempts = failing(monkeypatch, OSError("the shared folder is away"), 2)
    archive = trained(client=here, chunk=6)
    assert attempts == [0, 0, 0]
    assert_same(archive, trained(workers=1, chunk=6, checkpoint_dir=tmp_path / "alone"))


def test_a_lasting_fault_is_said_with_its_chunk(trained, here, monkeypatch):
    attempts = failing(monkeypatch, OSError("the shared folder is away"), 99)
    with pytest.raises(PigmmError, match=r"runs 0 to 5 were not trained by Dask: got OSError: the shared folder"):
        trained(client=here, chunk=6)
    assert len(attempts) == 1 + clusters.RETRIES


def test_an_error_of_training_is_not_tried_again(trained, here, monkeypatch):
    attempts = failing(monkeypatch, PigmmError("training diverged"), 99)
    with pytest.raises(PigmmError, match="^training diverged$"):
        trained(client=here, chunk=6)
    assert attempts == [0]


def test_divergence_on_a_worker(trained, here):
    with pytest.raises(PigmmError, match="diverged.*epoch 1: run"):
        trained(replace(CONFIG, learning_rate=1e30), client=here)


def test_resumes_on_a_cluster_what_another_way_began(trained, here, tmp_path, monkeypatch, capsys):
    class Broken(Exception):
        pass

    from pigmm import chunks

    count, epoch = [], chunks._Trainer.train_epoch

    def breaking(self, *args):
        count.append(1)
        if len(count) > 20:  # the first chunk is finished, the second has run eight epochs
            raise Broken
        epoch(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(chunks._Trainer, "train_epoch", breaking)
        with pytest.raises(Broken):
            trained(workers=1)
    archive = trained(client=here, progress=True)
    shown = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert "40/72" in shown[0]
    assert "72/72" in shown[-1]
    assert_same(archive, trained(workers=1, checkpoint_dir=tmp_path / "alone"))


def test_archives_are_not_kept_in_memory(here, tmp_path):
    pieces = pigmm.ensemble.split_runs(CONFIG.run_numbers, 1)
    identity = {"backend": "torch", "dataset_digest": pigmm.datasets.load_dataset("digits").digest}
    identity |= pigmm.workers.versions("torch")
    config = replace(CONFIG, epochs=1)
    todo = [pigmm.chunks.Chunk(config, r.start, r.stop, "cpu", tmp_path, identity, 9.0) for r in pieces]
    given = []
    for _, archive in clusters.trained_on_dask(todo, dict.fromkeys(todo, 0), here, lambda *a: None):
        given.append(weakref.ref(archive))
        del archive
        deadline = time.monotonic() + 5
        while sum(reference() is not None for reference in given) > 2:  # the last one, and one on its way out
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert len(given) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client": "tcp://192.0.2.1:8786"}, r"client: got 'tcp://.*Use Client\('tcp"),
        ({"client": object()}, "allowed: a dask.distributed.Client, or None"),
        ({"workers": 2}, "workers: got 2; allowed: None with a client"),
        ({"memory": "4 GB"}, "memory: got '?4 GB'?; allowed: None with a client"),
        ({"device": ["cpu", "cpu"]}, "one kind of device with a client"),
        ({"device": "gpu"}, "device: got 'gpu'; allowed: 'cpu', 'cuda'"),
        ({"device": "cuda"}, "device: got 'cuda'; allowed: 'cpu'"),  # said by the worker, which is what counts
    ],
)
def test_bad_arguments_with_a_client(trained, here, options, words, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PigmmError, match=words):
        trained(**{"client": here} | options)


def test_a_client_must_be_connected(trained, here):
    with distributed.Client(here.cluster) as another:
        pass
    with pytest.raises(PigmmError, match="a client that is closed"):
        trained(client=another)

    async def check():
        async with distributed.Client(here.scheduler.address, asynchronous=True) as another:
            clusters.check_client(another)

    with pytest.raises(PigmmError, match="asynchronous"):
        asyncio.run(check())


def test_without_dask_a_client_is_refused(trained, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(PigmmError, match="allowed: a dask.distributed.Client"):
        trained(client=object())


# ---- SLURM


def test_the_script_for_slurm(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PIGMM_DATA", "/data/of images")
    spec = importlib.util.spec_from_file_location("slurm_template", TEMPLATE)
    template = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(template)
    monkeypatch.setattr(template, "PARTITION", "short")
    with template.make_cluster(shared=tmp_path, processes=8, hours=3) as cluster:
        script = cluster.job_script()
        assert cluster.workers == {}, "no job is submitted before it is asked for"
    header = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert {"-p short", "-n 1", "--cpus-per-task=8", "-t 03:00:00"} <= set(header)
    assert not [line for line in header if line.startswith("-A")]
    (memory,) = [int(line.removeprefix("--mem=").removesuffix("G")) for line in header if line.startswith("--mem")]
    need = pigmm.memory.estimate_memory(template.CONFIG, pigmm.ensemble.default_chunk(template.CONFIG), 1, "cpu")
    assert 1 < memory * 2**30 / (8 * need) < 2.5
    assert "export PIGMM_DATA='/data/of images'" in script.splitlines()
    assert "export OMP_NUM_THREADS=1" in script.splitlines()
    for option in ("--nthreads 1 ", "--nworkers 8 ", "--lifetime 165m "):
        assert option in script


def test_the_commands_on_the_page_are_understood():
    text = TEMPLATE.with_name("clusters.md").read_text().replace("\\\n", "")
    (command,) = re.findall(r"^pigmm (train .*)$", text, flags=re.MULTILINE)
    options = cli._parser().parse_args(shlex.split(command.replace("$((100 * SLURM_ARRAY_TASK_ID))", "300")
                                                   .replace("$SLURM_CPUS_PER_TASK", "16")))  # fmt: skip
    assert (options.hidden, options.runs, options.first_run, options.workers) == ((640, 640), 100, 300, 16)
    assert pigmm.memory.as_bytes(options.memory) < 16 * 2**30, "less than SLURM allows"
    config = EnsembleConfig(dataset=options.dataset, hidden=options.hidden, runs=options.runs)
    need = pigmm.memory.estimate_memory(config, 1, options.workers, "cpu", "compiled")
    assert need <= pigmm.memory.as_bytes(options.memory), "no core stays idle"
