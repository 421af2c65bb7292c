"""The trainer against kill -9, Ctrl-C, full and read-only disks, and other processes: it ends in the same archive.

Trainings that are to be killed are forked from a fresh Python, a nursery, that has torch loaded and no threads.
``PIGMM_ENDURANCE=200`` kills 200 times instead of 12.
"""

import contextlib
import errno
import hashlib
import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from pigmm import Archive, EnsembleConfig, PigmmError, chunks, datasets, storage, train

CONFIG = EnsembleConfig(runs=4, epochs=6, hidden=(5, 4, 4), learning_rate=5e-3)
QUICK = EnsembleConfig(runs=2, epochs=2, hidden=(3, 3))
KILLS = int(os.environ.get("PIGMM_ENDURANCE", "12"))
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="forks, and counts processes through /proc")


def job(folder, config=CONFIG, **options):
    """One training with all its files in one folder."""
    given = {"backend": "torch", "workers": 1, "chunk": config.runs // 2, "progress": False, "checkpoint_seconds": 0.0}
    places = {"checkpoint_dir": folder / "checkpoints", "output": folder / "out.npz"}
    return train(config, **given | places | options)


def arrays(folder):
    """All that a saved archive holds besides configuration and provenance, byte by byte."""
    Archive.load(folder / "out.npz")
    with (folder / "out.npz").open("rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: (content[name].dtype, content[name].shape, content[name].tobytes())
                for name in content.files if name != "header"}  # fmt: skip


def assert_done(folder, expected):
    """The archive is the expected one, and nothing else is left."""
    assert arrays(folder) == expected, f"another archive in {folder}"
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert left == ["checkpoints", "out.json", "out.npz"], left


def reference(folder, config=CONFIG, **options):
    """What an undisturbed training writes."""
    folder.mkdir()
    job(folder, config, **options)
    return arrays(folder)


# ---- a nursery: trainings as process groups of their own, to be killed


def apart(function, **arguments):
    """Run a function of this file in a fresh Python without threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, "1") | {"PYTHONPATH": os.pathsep.join(sys.path)}
    code = f"from tests import test_endurance as t; t.nursery(); t.{function.__name__}(**{arguments!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=3600)
    assert done.returncode == 0, done.stderr[-4000:]


def nursery():
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # outlives the killed, and removes their semaphores


def fork(action, words=None):
    """Run an action in a process group of its own; what it ends with goes to the file ``words``."""
    assert len(os.listdir("/proc/self/task")) == 1, "threads do not survive a fork"
    if pid := os.fork():
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # both do it, so that it is done for either
        return pid
    code, said = 1, ""
    try:
        os.setpgid(0, 0)
        action()
        code, said = 0, "finished"
    except KeyboardInterrupt as stop:
        code, said = 130, str(stop)
    except PigmmError as error:
        code, said = 2, str(error)
    except BaseException:
        said = traceback.format_exc()
        print(said, file=sys.stderr)
    finally:
        if words is not None:
            words.write_text(said)
        os._exit(code)


def ended(pid, seconds=120.0):
    """The exit code of a forked process, or minus the signal, once nothing is left of its group."""
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        assert time.monotonic() < deadline, f"process {pid} does not end"
        time.sleep(0.002)
    deadline = time.monotonic() + 60  # a worker that is being started looks about only when it is there
    while members := group(pid):
        assert time.monotonic() < deadline, f"still there: {members}"
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def group(leader):
    """The living processes of a group."""
    living = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as file:
            state, _, pgrp = file.read().rsplit(")", 1)[1].split()[:3]
            if int(pgrp) == leader and state != "Z":
                living.append(int(entry))
    return living


def running(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def news(folder):
    """What the checkpoints look like from outside."""
    found = set()
    for path in folder.glob("checkpoints/*/*"):
        with contextlib.suppress(OSError):
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def disturb(folder, backends, workers, kills, seed):
    """Kill at random moments, interrupt half as often, resume each time, and finish in the end."""
    for number, backend in enumerate(backends):
        place, rng = Path(folder, backend), random.Random(seed)
        place.mkdir()
        reference(place / "first", backend=backend)
        began = time.perf_counter()
        expected = reference(place / "expected", backend=backend)
        length = time.perf_counter() - began
        # Every other kill meets the main process alone, as when memory runs out: its workers must notice.
        stops = [(signal.SIGKILL, (kill + number) % 2 == 1) for kill in range(kills)]
        stops += [(signal.SIGINT, True)] * -(-kills // 2)  # as a terminal sends it
        rng.shuffle(stops)
        for stop, to_all in stops:
            disturbed(place, expected, stop, to_all, workers > 1, rng, length, backend=backend, workers=workers)
        job(place / "job", backend=backend)
        assert_done(place / "job", expected)


def disturbed(place, expected, stop, to_all, slow, rng, length, **options):
    """Go on with the training, for a while."""
    work, words = place / "job", place / "words"
    work.mkdir(exist_ok=True)
    before, folder = news(work), work / "checkpoints" / CONFIG.digest()
    lock = folder.with_suffix(".lock")
    pid = fork(partial(job, work, **options), words)
    while running(pid) and not (lock.exists() or stop == signal.SIGKILL):
        time.sleep(0.0005)
    if slow and rng.random() < 0.75:  # in the other cases processes are just being started
        while running(pid) and news(work) == before:
            time.sleep(0.0005)
    time.sleep(rng.uniform(0, length))
    (os.killpg if to_all else os.kill)(pid, stop)
    code = ended(pid)
    if code == 0:  # it was faster, or Ctrl-C came while processes were being started and it is ignored
        assert_done(work, expected)
        shutil.rmtree(work)
    elif stop == signal.SIGKILL:
        assert code == -signal.SIGKILL, words.read_text()
    else:
        said = words.read_text()
        assert code == 130, said
        assert f"goes on from {folder}" in said, said
        assert not lock.exists()


@needs_proc
@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_at_random_moments(tmp_path, workers):
    backends = ["torch", "compiled"] if importlib.util.find_spec("numba") else ["torch"]
    kills = max(1, KILLS * (5 if workers == 1 else 1) // 12)
    apart(disturb, folder=str(tmp_path), backends=backends, workers=workers, kills=kills, seed=workers)


# ---- files: let every single operation fail


def operations(monkeypatch, strike, kinds):
    """Call ``strike(kind)`` before each operation that changes the disk, and in the middle of each write."""

    def spied(kind, function):
        def call(*args, **options):
            strike(kind)
            return function(*args, **options)

        return call

    for kind in kinds & {"chmod", "fsync", "link", "mkdir", "replace", "rmdir", "unlink"}:
        monkeypatch.setattr(os, kind, spied(kind, getattr(os, kind)))
    make = tempfile.NamedTemporaryFile

    def temporary(*args, **options):
        if "create" in kinds:
            strike("create")
        file = make(*args, **options)
        write = file.write

        def half(content):
            write(content[: len(content) // 2])
            file.flush()
            strike("write")
            write(content[len(content) // 2 :])

        file.write = half
        return file

    monkeypatch.setattr(storage.tempfile, "NamedTemporaryFile", temporary)


def counted(folder, monkeypatch, kinds, **options):
    """The operations of one training, in order."""
    folder.mkdir()
    seen = []
    with monkeypatch.context() as patch:
        operations(patch, seen.append, kinds)
        job(folder, QUICK, **options)
    shutil.rmtree(folder)
    return seen


class Failing:
    """A disk that fails at the given operation, counted from 0, and perhaps ever after."""

    def __init__(self, at, number, lasting):
        self.at, self.number, self.lasting, self.count = at, number, lasting, -1

    def __call__(self, kind):
        self.count += 1
        if self.count == self.at or (self.lasting and self.count > self.at):
            raise OSError(self.number, os.strerror(self.number))


def refusal(folder, **options):
    """What the error says with which a training ends, if it does."""
    try:
        job(folder, QUICK, **options)
    except PigmmError as error:
        return str(error)
    return None


@pytest.fixture
def memory(tmp_path):
    """A folder in memory if there is one: many small files are written to it."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


FULL = {"create", "write", "fsync", "link", "mkdir", "replace"}
ALL = FULL | {"chmod", "rmdir", "unlink"}


@pytest.mark.parametrize(
    ("number", "kinds", "lasting", "chunk"),
    [
        pytest.param(errno.ENOSPC, FULL, False, 1, id="full once"),
        pytest.param(errno.ENOSPC, FULL - {"replace"}, True, 2, id="full from then on"),
        pytest.param(errno.EROFS, ALL, True, 2, id="read-only from then on"),
    ],
)
def test_a_disk_that_fails_at_any_moment(memory, monkeypatch, number, kinds, lasting, chunk):
    expected, place = reference(memory / "expected", QUICK, chunk=chunk), memory / "job"
    older = memory / "older"
    older.mkdir()
    job(older, EnsembleConfig(runs=2, epochs=1, hidden=(3, 3)))
    before = arrays(older)
    seen = counted(memory / "count", monkeypatch, kinds, chunk=chunk)
    assert seen.count("write") == 3 * 2 // chunk + 2  # a checkpoint and an archive of each chunk, and the result
    failed = 0
    for at in range(len(seen)):
        shutil.copytree(older, place)
        with monkeypatch.context() as patch:
            operations(patch, Failing(at, number, lasting), kinds)
            said = refusal(place, chunk=chunk)
        failed += said is not None
        if said is None:
            assert seen[at] in ("link", "mkdir", "unlink", "rmdir"), (at, seen[at])  # these can be done without
        else:
            assert os.strerror(number) in said, (at, seen[at])
        if number == errno.ENOSPC:
            assert arrays(place) in (before, expected), (at, seen[at])
            assert not list(place.rglob("*.part")), (at, seen[at])
            assert not list(place.rglob("*.lock")), (at, seen[at])
        with warnings.catch_warnings():
            if number == errno.EROFS:  # nothing could be put back: an archive without its sidecar is ignored
                warnings.filterwarnings("ignore", "checkpoint ignored: cannot read")
            if said is not None or number == errno.EROFS:  # which leaves the lock in any case
                job(place, QUICK, chunk=chunk)
        assert_done(place, expected)
        shutil.rmtree(place)
    assert failed > len(seen) / 2


@needs_proc
def test_killed_at_any_file_operation(memory):
    apart(kill_at_every_operation, folder=str(memory))


def kill_at_every_operation(folder):
    folder, monkeypatch = Path(folder), pytest.MonkeyPatch()
    expected, place = reference(folder / "expected", QUICK, chunk=2), folder / "job"
    kinds = ALL - {"chmod", "fsync"}  # these change nothing that survives us
    seen = counted(folder / "count", monkeypatch, kinds, chunk=2)
    assert len(seen) > 20

    def killed(at):
        count = itertools.count()
        operations(monkeypatch, lambda kind: next(count) == at and os.kill(os.getpid(), signal.SIGKILL), kinds)
        job(place, QUICK, chunk=2)

    parts = 0
    for at in range(len(seen)):
        place.mkdir()
        assert ended(fork(partial(killed, at))) == -signal.SIGKILL
        parts += len(list(place.rglob("*.part")))
        job(place, QUICK, chunk=2)
        assert_done(place, expected)
        shutil.rmtree(place)
    assert parts > 5


def test_a_disk_that_is_full_for_workers(tmp_path):
    """Files have a limit of size, which worker processes inherit; the message comes from a worker."""
    resource = pytest.importorskip("resource")
    expected, place = reference(tmp_path / "expected"), tmp_path / "job"
    place.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(PigmmError, match=r"cannot write .*\.running: got File too large"):
            job(place, workers=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    job(place)
    assert_done(place, expected)


def test_a_folder_on_a_read_only_disk(tmp_path, monkeypatch):
    opened = Path.open

    def read_only(path, mode="r", *args, **options):
        if mode != "r":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, mode, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", read_only)
        with pytest.raises(PigmmError, match=r"cannot keep checkpoints in .*Read-only file system.*checkpoint_dir"):
            job(tmp_path, QUICK)
    job(tmp_path, QUICK)


# ---- leftovers of killed processes


def test_leftovers_go_but_not_what_is_being_written(tmp_path):
    path = tmp_path / "a"
    for name in ("aXX.part", "aYY.part.part", "bXX.part"):
        (tmp_path / name).write_bytes(b"half")
    with storage._temporary(path) as file:  # of a living process
        storage.write_whole(path, b"whole")
        assert sorted(os.listdir(tmp_path)) == sorted(["a", "bXX.part", os.path.basename(file.name)])
        storage.remove_leftovers(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted(["a", os.path.basename(file.name)])
    with chunks.alone(tmp_path):
        assert os.listdir(tmp_path) == ["a"]


def test_what_stops_a_training_says_where_it_goes_on(tmp_path):
    for stop, kind in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.EIO, "broken"), PigmmError)):
        with pytest.raises(kind, match=f"goes on from .*{tmp_path.name}/x"), chunks.alone(tmp_path / "x"):
            raise stop
    with pytest.raises(KeyboardInterrupt, match="^3 of 4$"), chunks.alone(tmp_path / "x"):
        raise KeyboardInterrupt("3 of 4")


def test_a_file_taken_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """Between its making and its locking another process may remove it."""
    lock = storage._lock

    def swept(file):
        monkeypatch.setattr(storage, "_lock", lock)
        storage.remove_leftovers(tmp_path)
        assert not os.listdir(tmp_path)
        return lock(file)

    monkeypatch.setattr(storage, "_lock", swept)
    storage.write_whole(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("linked", [True, False])
def test_two_files_are_both_new_or_both_old(tmp_path, monkeypatch, linked):
    """Where a file system has no second names the former files cannot be put back, but new ones are removed."""
    header = {"format": "x"}
    storage.write_arrays(tmp_path / "a", header, {"x": np.zeros(3)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace = os.replace

    def interrupted(source, target):
        if str(target).endswith(".json"):
            raise KeyboardInterrupt
        replace(source, target)

    def without(*args):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        if not linked:
            patch.setattr(os, "link", without)
        for name in ("a", "b"):
            with pytest.raises(KeyboardInterrupt):
                storage.write_arrays(tmp_path / name, header, {"x": np.ones(3)})
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() >= before.keys()
    assert not linked or after == before


# ---- locks


needs_locks = pytest.mark.skipif(storage.fcntl is None, reason="this system has no such locks")


@needs_locks
def test_a_lock_on_a_file_that_was_removed_is_none(tmp_path, monkeypatch):
    """We open the file; its owner removes it and is done; a third process makes it anew; ours is then worth nothing."""
    path = tmp_path / "x.lock"
    first, lock, held = storage.lock_file(path), storage._lock, []

    def late(file):
        monkeypatch.setattr(storage, "_lock", lock)
        path.unlink()
        first.close()
        held.append(storage.lock_file(path))
        return lock(file)

    monkeypatch.setattr(storage, "_lock", late)
    with pytest.raises(BlockingIOError):
        storage.lock_file(path)
    held.pop().close()
    storage.lock_file(path).close()


@needs_locks
def test_waiting_is_said_once_and_ends_with_the_lock(tmp_path, monkeypatch, capsys):
    folder, said = tmp_path / "x", []
    with chunks.alone(folder):
        with pytest.raises(PigmmError, match=r"trained by another process.*x\.lock.*Wait for it"), chunks.alone(folder):
            pass

        def interrupt(seconds):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(storage.time, "sleep", interrupt)
            with pytest.raises(KeyboardInterrupt), chunks.alone(folder, wait=True):
                pass
    assert capsys.readouterr().err.count(f"waiting for it (lock {folder}.lock)") <= 1

    other, naps = storage.lock_file(tmp_path / "x.lock"), []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            other.close()

    monkeypatch.setattr(storage.time, "sleep", nap)
    with chunks.alone(folder, wait=True, tell=said.append):
        assert len(naps) == 3
    assert len(said) == 1
    assert "waiting" in said[0]
    assert not list(tmp_path.iterdir())


@needs_locks
def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def unknown(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(storage.fcntl, "flock", unknown)
    with pytest.warns(UserWarning, match="knows no locks"), chunks.alone(tmp_path / "x"):
        storage.write_whole(tmp_path / "a", b"whole")
    assert os.listdir(tmp_path) == ["a"]


@needs_proc
def test_three_at_once(tmp_path):
    apart(together, folder=str(tmp_path))


def together(folder):
    """One is killed; the next goes on from what it left; each of the others ends with the same archive."""
    folder = Path(folder)
    expected, marker = reference(folder / "expected"), folder / "marker"

    def one(name):
        (folder / name).mkdir()
        job(folder / name, checkpoint_dir=folder / "shared", wait=True)

    def turns():
        for _ in range(15):
            with chunks.alone(folder / "x", wait=True, tell=lambda message: None):
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))  # fails if another one is here
                time.sleep(0.002)
                marker.unlink()
            time.sleep(0.002)

    assert not any(list(map(ended, [fork(turns) for _ in range(3)])))
    first = fork(partial(one, "first"))
    while running(first) and not list(folder.glob("shared/*/*.running")):
        time.sleep(0.001)
    others = [fork(partial(one, name), folder / f"{name}.words") for name in ("second", "third")]
    time.sleep(0.1)
    os.killpg(first, signal.SIGKILL)
    assert ended(first) == -signal.SIGKILL
    assert not any(list(map(ended, others))), [path.read_text() for path in folder.glob("*.words")]
    for name in ("second", "third"):
        assert arrays(folder / name) == expected
    assert not list((folder / "shared").iterdir())


# ---- checkpoints of other circumstances, and sidecars edited by hand


def piece(folder, runs=(0, 2), **changes):
    identity = {
        "config": QUICK.to_dict(), "dataset_digest": datasets.load_dataset("digits").digest, "device": "cpu",
        "package_version": "0.1.0", "torch": "2.6", "numpy": "2.0", "backend": "torch",
    }  # fmt: skip
    return chunks.Chunk(QUICK, *runs, "cpu", folder, identity | changes, 0.0)


def checkpoints(chunk, finished):
    """Train a chunk, wholly or for one epoch; the bytes of what is on disk then."""
    if finished:
        chunks.train_chunk(chunk, lambda count: None).save(chunk.finished)
        chunk.running.unlink()
    else:
        counts = iter([None])
        with pytest.raises(StopIteration):
            chunks.train_chunk(chunk, lambda count: next(counts))
    return held(chunk.folder)


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("finished", [True, False])
def test_two_versions_by_turns_lose_nothing(tmp_path, finished):
    ours, theirs = piece(tmp_path), piece(tmp_path, package_version="0.2.0", dataset_digest="0" * 64, numba="0.61")
    mine, done = checkpoints(ours, finished), 2 if finished else 1
    words = "numba: none -> 0.61; package_version: 0.1.0 -> 0.2.0"
    with pytest.warns(UserWarning, match="other circumstances") as caught:
        assert chunks.epochs_done(theirs) == 0
    assert words in str(caught[0].message)
    assert f"dataset_digest: {ours.identity['dataset_digest'][:12]}... -> 000000000000..." in str(caught[0].message)
    (home,) = tmp_path.iterdir()
    assert str(home) in str(caught[0].message)
    assert held(home) == mine
    made = json.dumps(theirs.identity, sort_keys=True).encode()
    np.savez(tmp_path / "file.npz", identity=np.frombuffer(made, np.uint8), epoch=np.array(1))
    (tmp_path / "file.npz").rename(theirs.running)
    other = held(tmp_path)
    with pytest.warns(UserWarning, match=r"numba: 0.61 -> none; package_version: 0.2.0 -> 0.1.0.*runs-0-2.running"):
        assert chunks.epochs_done(ours) == done
    assert held(tmp_path) == mine
    assert chunks.epochs_done(ours) == done  # without another warning
    with pytest.warns(UserWarning, match="other circumstances"):
        assert chunks.epochs_done(theirs) == 1
    assert held(tmp_path) == other
    assert held(home) == mine


def test_strangers_of_every_chunking_are_set_aside_at_once(tmp_path):
    for runs in ((0, 1), (1, 2), (0, 2)):
        checkpoints(piece(tmp_path, runs), runs == (0, 1))
    ours = piece(tmp_path, torch="2.7")
    before = held(tmp_path)
    words = r"torch: 2.6 -> 2.7.*runs-0-1.npz, runs-0-2.running, runs-1-2.running"
    with pytest.warns(UserWarning, match=words) as caught:
        chunks.set_aside(tmp_path, ours.identity)
    assert len(caught) == 1
    (home,) = tmp_path.iterdir()
    assert held(home) == before
    chunks.set_aside(tmp_path, piece(tmp_path).identity)
    assert held(tmp_path) == before
    assert not home.exists()


@pytest.mark.filterwarnings("ignore:checkpoints made in other circumstances")
def test_setting_aside_can_be_broken_off_anywhere(tmp_path, monkeypatch):
    ours = piece(tmp_path)
    checkpoints(piece(tmp_path, (0, 1)), True)
    before = checkpoints(ours, False)
    aside, later = chunks._aside(tmp_path, ours.identity), piece(tmp_path, torch="2.7")
    for at in range(len(before)):
        for identity, home in ((later.identity, aside), (ours.identity, tmp_path)):
            with monkeypatch.context() as patch:
                operations(patch, Failing(at, errno.EIO, True), {"replace"})
                with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                    chunks.set_aside(tmp_path, identity)
            chunks.set_aside(tmp_path, identity)
            assert held(home) == before
            assert list(tmp_path.rglob("runs-*")) == list(home.glob("runs-*"))


def test_an_archive_put_there_by_hand_is_kept(tmp_path):
    job(tmp_path, QUICK)
    ours = piece(tmp_path / "folder")
    ours.folder.mkdir()
    for suffix in (".npz", ".json"):
        shutil.copy(tmp_path / f"out{suffix}", ours.finished.with_suffix(suffix))
    before = held(ours.folder)
    with pytest.warns(UserWarning, match="they do not say which"):
        assert chunks.epochs_done(ours) == 0
    (home,) = ours.folder.iterdir()
    assert held(home) == before


@pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="needs numba")
def test_two_backends_by_turns(tmp_path, monkeypatch):
    expected = {backend: reference(tmp_path / backend, QUICK, backend=backend) for backend in ("torch", "compiled")}
    place = tmp_path / "job"
    for at in (2, 6):  # the first is finished nowhere, the second half-way
        with monkeypatch.context() as patch:
            operations(patch, Failing(at, errno.ENOSPC, True), {"fsync"})
            with pytest.raises(PigmmError, match="No space"):
                job(place, QUICK)
    with pytest.warns(UserWarning, match="backend: torch -> compiled; numba: none -> "):
        job(place, QUICK, backend="compiled")
    assert arrays(place) == expected["compiled"]
    (home,) = (place / "checkpoints" / QUICK.digest()).iterdir()
    assert any(path.suffix == ".npz" for path in home.iterdir())
    assert job(place, QUICK).provenance["process_seconds"] > 0
    assert_done(place, expected["torch"])


@pytest.fixture(scope="module")
def two_archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    for seed in (0, 1):
        train(EnsembleConfig(runs=2, epochs=1, hidden=(3, 3), seed=seed), workers=1, progress=False,
              checkpoint_dir=folder / "checkpoints").save(folder / f"{seed}")  # fmt: skip
    return folder


def edited(**changes):
    def edit(folder):
        said = json.loads((folder / "0.json").read_text())
        for name, value in changes.items():
            *inner, last = name.split("__")
            place = said
            for key in inner:
                place = place[key]
            if value is None:
                del place[last]
            else:
                place[last] = value
        (folder / "0.json").write_text(json.dumps(said))

    return edit


def swapped(folder):
    shutil.copy(folder / "1.npz", folder / "0.npz")


def swapped_and_signed(folder):
    swapped(folder)
    edited(sha256=hashlib.sha256((folder / "1.npz").read_bytes()).hexdigest())(folder)


def flipped(folder):
    content = bytearray((folder / "0.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "0.npz").write_bytes(content)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (edited(config__seed=7), r"0\.npz: its sidecar was edited \(config\.seed: 0 -> 7\)"),
        (edited(provenance__date=None), r"sidecar was edited \(provenance\.date: .* -> none\)"),
        (edited(note="mine"), r"sidecar was edited \(note: none -> mine\)"),
        (edited(format="another"), r"sidecar was edited \(format: pigmm archive .* -> another\)"),
        (edited(sha256="0" * 64), r"0\.npz is truncated or altered: its SHA-256 is not the sidecar's"),
        (edited(sha256=None), r"0\.json is not the sidecar of an archive"),
        (swapped, r"not of one archive, or were altered \(.*config\.seed: 1 -> 0.*Put the two files of one"),
        (swapped_and_signed, r"sidecar was edited \(.*config\.seed: 1 -> 0"),
        (flipped, r"0\.npz is truncated or altered"),
    ],
)
def test_edits_are_named(two_archives, tmp_path, edit, words):
    folder = tmp_path / "archives"
    shutil.copytree(two_archives, folder)
    edit(folder)
    before = held(folder)
    with pytest.raises(PigmmError, match=words):
        Archive.load(folder / "0")
    assert held(folder) == before


def test_another_format_is_named(tmp_path):
    storage.write_arrays(tmp_path / "a", {"format": "pigmm something 7"}, {})
    with pytest.raises(PigmmError, match=r"format: got pigmm something 7; allowed: 'pigmm archive"):
        Archive.load(tmp_path / "a")
