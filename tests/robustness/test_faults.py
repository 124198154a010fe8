"""What befalls a running server: truncation under load, forks, exhaustion, full disks, leaks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import pyembed
from tests.helpers.children import SANITIZED, output_of
from tests.helpers.large_model import write_model

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.gguf")


TRUNCATIONS = """
n_truncations = int(sys.argv[2])
whole = open(sys.argv[1], "rb").read()
from types import SimpleNamespace
server = SimpleNamespace(model=pyembed.load_model(sys.argv[1], validate="off"))
served, refused_ones, wrong, stop = [0] * 4, [0] * 4, [], threading.Event()
def serve(worker):
    rng = np.random.default_rng(worker)
    while not stop.is_set():
        ids = rng.integers(0, 4096, 64)
        try:
            rows = server.model.embed(ids, threads=1 + worker % 2)
        except OSError:
            refused_ones[worker] += 1
            continue
        if not (rows == 1).all():
            wrong.append(ids)
        served[worker] += 1
threads = [threading.Thread(target=serve, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
rng = np.random.default_rng(99)
for i in range(n_truncations):
    before = sum(served)
    while sum(served) < before + 4:
        time.sleep(0.0002)
    os.truncate(sys.argv[1], int(rng.integers(0, len(whole))))
    with open(sys.argv[1] + ".new", "wb") as file:
        file.write(whole)
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    assert server.model.check() is not None
    server.model = pyembed.load_model(sys.argv[1], validate="off")
stop.set()
for thread in threads: thread.join()
assert not wrong, wrong
print(sum(served), sum(refused_ones))
"""


@pytest.mark.posix  # Windows lets nobody cut a file that is mapped
@pytest.mark.parametrize("n", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_truncations_under_load(path: Path, n: int) -> None:
    served, refused = map(int, output_of(TRUNCATIONS, path, n, timeout=1200).split())
    print(f"{n} truncations: {served} requests served, {refused} refused, none answered wrongly")
    assert served >= 4 * n
    assert refused > 0


@on_linux
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_one_copy(method: str, tmp_path: Path) -> None:
    """Proportional set size: each of four processes that touched the mapping is charged a quarter."""
    path = write_model(tmp_path / "m.gguf")
    (tmp_path / "worker.py").write_text(
        """
import numpy as np
import pyembed
def pss(path):
    total, inside = 0, False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if "-" in line.split()[0]:
                inside = path in line
            elif inside and line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
def work(model, path, barrier, queue):
    model = model or pyembed.load_model(path, validate="off")
    assert (model.embed(np.arange(4096), threads=2) == 1).all()
    barrier.wait(60)
    queue.put(pss(path))
    barrier.wait(60)
"""
    )
    program = """
import multiprocessing
sys.path.insert(0, sys.argv[3])
import worker
context = multiprocessing.get_context(sys.argv[2])
barrier, queue = context.Barrier(4), context.Queue()
model = pyembed.load_model(sys.argv[1], validate="off") if sys.argv[2] == "fork" else None
workers = [context.Process(target=worker.work, args=(model, sys.argv[1], barrier, queue)) for _ in range(4)]
for process in workers: process.start()
sizes = [queue.get(timeout=60) for _ in workers]
for process in workers: process.join()
assert all(process.exitcode == 0 for process in workers)
print(max(sizes))
"""
    size = path.stat().st_size
    pss = int(output_of(program, path, method, tmp_path))
    print(f"{size} bytes mapped by 4 processes: {pss} bytes each")
    assert 0 < pss < size * 0.4


def test_threads_gather_while_models_are_opened_and_closed(path: Path) -> None:
    program = """
stop, errors, served = threading.Event(), [], [0] * 64
current = [pyembed.load_model(sys.argv[1], validate="off")]
def serve(worker):
    while not stop.is_set():
        model = current[0]
        try:
            rows = model.embed([1, 2, 3])
            assert (rows == 1).all()
            model.vocabulary.id("token number 7")
            served[worker] += 1
        except ValueError as error:
            if "closed" not in str(error):
                errors.append(error)
        except BaseException as error:
            errors.append(error)
threads = [threading.Thread(target=serve, args=(i,)) for i in range(64)]
for thread in threads: thread.start()
for _ in range(15):
    old, current[0] = current[0], pyembed.load_model(sys.argv[1], validate="off")
    old.close()
stop.set()
for thread in threads: thread.join()
assert not errors, errors[:3]
print(sum(served))
"""
    assert int(output_of(program, path)) > 0


def test_use_after_close_is_an_error(path: Path) -> None:
    program = """
model = pyembed.load_model(sys.argv[1], validate="off")
table, vocabulary, metadata, tensors = model.table, model.vocabulary, model.metadata, model.tensors
texts = metadata["tokenizer.ggml.tokens"]
model.close()
model.close()
for call in (lambda: model.embed([1]), lambda: table.gather([1]), lambda: table[0], lambda: vocabulary[0],
             lambda: vocabulary.id("a"), lambda: vocabulary.digest, lambda: texts[0], lambda: model.metadata,
             lambda: model.tensors, lambda: model.check(), lambda: model.open_table("output.weight"),
             lambda: metadata["nested"], lambda: model.__enter__()):
    refused(call, ValueError)
"""
    output_of(program, path)


@on_linux
def test_descriptors_that_run_out(path: Path) -> None:
    program = """
import errno, resource
models = [pyembed.load_model(sys.argv[1])]  # which imports all that the next load needs
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
try:
    pyembed.load_model(sys.argv[1])
except OSError as error:
    assert error.errno == errno.EMFILE and error.filename == sys.argv[1], error
else:
    raise AssertionError("there was a descriptor")
assert models[0].vocabulary.id("token number 7") == 7  # not even the index's key needs one
assert (models[0].embed([1]) == 1).all()
"""
    output_of(program, path)


@on_linux
@pytest.mark.skipif(SANITIZED, reason="a sanitizer makes mlock do nothing")
@pytest.mark.parametrize("mode", ["mlock", "mmap+mlock"])
def test_locked_memory_that_runs_out(path: Path, mode: str) -> None:
    program = """
import resource
if os.geteuid() == 0:
    os.chmod(os.path.dirname(sys.argv[1]), 0o755)
    os.setresuid(65534, 65534, 65534)  # root may lock what it likes
resource.setrlimit(resource.RLIMIT_MEMLOCK, (8192, 8192))
try:
    pyembed.load_model(sys.argv[1], load_mode=sys.argv[2], validate="off").table
except MemoryError as error:
    assert "RLIMIT_MEMLOCK" in str(error), error
    print("refused")
"""
    copy = Path("/dev/shm") / f"pyembed-{os.getpid()}-{mode}.gguf"
    try:
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o644)
        assert output_of(program, copy, mode) == "refused\n"
    finally:
        copy.unlink()


@pytest.mark.posix
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    from pyembed.files.atomic_write import replacing

    old = tmp_path / "rows.npy"
    old.write_bytes(b"old")
    program = """
import resource
from pyembed.files.atomic_write import replacing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the disk is full after 1000 bytes
def write():
    with replacing(sys.argv[1]) as file:
        file.write(bytes(5000))
refused(write)
"""
    output_of(program, old)
    assert old.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["rows.npy"]
    with pytest.raises(OSError, match=r"No space left.*/dev/full"), replacing("/dev/full") as file:
        file.write(bytes(100_000))


@pytest.mark.posix
def test_a_link_keeps_pointing_to_what_is_written_and_that_keeps_its_permissions(tmp_path: Path) -> None:
    from pyembed.files.atomic_write import replacing

    target, link = tmp_path / "rows.npy", tmp_path / "latest.npy"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to("rows.npy")
    with replacing(link) as file, replacing(link) as later:  # two at once are in nobody's way
        file.write(b"new")
        later.write(b"newer")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["latest.npy", "rows.npy"]


CYCLES = """
def state():
    maps = len(open("/proc/self/maps").readlines())
    return len(os.listdir("/proc/self/fd")), maps, int(field("/proc/self/status", "Threads"))
def cycle():
    with pyembed.load_model(sys.argv[1], validate="off", load_mode=("mmap", "none")[i % 2]) as model:
        model.embed([1, 2, 3, 4], threads=2)
        model.vocabulary.id("token number 7")
i = 0
for i in range(200):
    cycle()
import gc
gc.collect()
before, memory = state(), int(field("/proc/self/status", "VmRSS"))
for i in range(int(sys.argv[2])):
    cycle()
gc.collect()
grown = int(field("/proc/self/status", "VmRSS")) - memory
after = state()
assert after[0] == before[0] and after[2] == before[2] and abs(after[1] - before[1]) < 20, (before, after)
assert not catches_bus_errors()
print(grown)
"""


@on_linux
@pytest.mark.parametrize("n", [500, pytest.param(100_000, marks=pytest.mark.slow)])
def test_opening_and_closing_leaves_nothing(n: int) -> None:
    grown = int(
        output_of(CYCLES.replace("token number 7", "\u2581the"), pyembed.demo_model(), n, timeout=3600)
    )
    print(f"{n} cycles: the resident set grew by {grown} KiB")
    assert grown < 4096 or SANITIZED  # which keeps what was freed for a while
