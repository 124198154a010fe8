"""A mapped file that loses pages: an exception in the call that met the gap, and the process goes on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.children import child, output_of
from tests.helpers.deployed import put
from tests.helpers.gguf_bytes import ARRAY, I32, STRING, Array, GGUFBytes
from tests.helpers.large_model import write_model

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
#: Windows lets nobody cut a file that is mapped.
cuts_mapped_files = pytest.mark.posix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.gguf")


@cuts_mapped_files
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_gather_from_a_truncated_file_is_an_error(path: Path, threads: int, dtype: str) -> None:
    program = """
model = pyembed.load_model(sys.argv[1])
table, ids = model.table, np.arange(4096)
table.gather(ids, threads=int(sys.argv[2]))
os.truncate(sys.argv[1], os.path.getsize(sys.argv[1]) // 2 + 5000)
refused(lambda: table.gather(ids, threads=int(sys.argv[2]), dtype=sys.argv[3]))
refused(lambda: table.gather([0]))  # a model that lost a page stays lost
try:
    table.gather([0])
except OSError as error:
    assert error.filename == sys.argv[1] and "truncated" in str(error), error
with pyembed.load_model(pyembed.demo_model()) as other:
    assert other.embed([1]).any()
"""
    output_of(program, path, threads, dtype)


# Truncated within the header: each of these meets the gap by itself.
READERS = {
    "metadata": "list(model.metadata['tokenizer.ggml.tokens'])",
    "metadata numbers": "model.metadata['tokenizer.ggml.scores']",
    "metadata key": "model.metadata['tokenizer.ggml.token_type']",
    "metadata entries": "model._source.metadata_entries()",
    "nested": "model.metadata['nested'][0]",
    "tensor": "model.tensors['output.weight'].shape",
    "table": "model.output_table",
    "token": "vocabulary[3999]",
    "tokens": "list(vocabulary)",
    "id": "vocabulary.id('token number 3999')",
    "digest": "vocabulary.digest",
    "examine": "vocabulary.examine(splits=True)",
    "scores": "table.scores(np.ones(64, np.float32))",
    "top": "table.top(np.ones(64, np.float32), 3)",
    "norms": "table.norms",
    "digest of rows": "table.digest()",
    "check of rows": "table.check_rows(0, 4096)",
    "gather": "table[[4000]]",
    "metadata text": "dict(model.metadata)",
    "metadata strings": "model.metadata['tokenizer.ggml.merges'][3999]",
    "bytes of strings": "model._source.strings_bytes(model._source.metadata_value('tokenizer.ggml.tokens'))",
    "tensors": "[model.tensors[name] for name in model.tensors]",
    "token texts": "vocabulary.tokens[3000:3999]",
    "token scores": "vocabulary.scores",
    "token types": "vocabulary.types",
    "is a token": "'token number 3999' in vocabulary",
    "top by cosine": "table.top(np.ones(64, np.float32), 3, 'cosine', exclude=[1])",
    "scores of ids": "table.scores(np.ones((5, 64), np.float32), ids=[4000, 4001], threads=2)",
    "vocabulary": "pyembed.Vocabulary(model._source, model.metadata)",
    "recipe": "model.embed([4000], dtype='float16')",
    "validation": "model.validate(level='full')",
    "lock": "pyembed.make_lock(model)",
    "health": "__import__('pyembed.health').health.examine(model)",
}


@on_linux
@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_a_truncated_file_gets_an_error(path: Path, reader: str) -> None:
    program = f"""
model = pyembed.load_model(sys.argv[1])
table, vocabulary = model.table, model.vocabulary
os.truncate(sys.argv[1], 8192)
refused(lambda: {READERS[reader]})
assert model.check().kind == "truncated"
model.close()
assert not catches_bus_errors()
"""
    output_of(program, path)


@cuts_mapped_files
def test_merges_that_are_gone_when_they_are_examined(path: Path) -> None:
    """The key itself is behind the end of the file: the caller is not at fault."""
    program = """
from pyembed._native import ffi, lib
model = pyembed.load_model(sys.argv[1])
products, flags = ffi.new("uint32_t[]", 4000), ffi.new("uint8_t[]", 4000)
first, n_first = ffi.new("uint32_t[]", 4000), ffi.new("uint64_t *")
facts = ffi.new("pye_vocabulary_facts *", {"struct_bytes": ffi.sizeof("pye_vocabulary_facts")})
facts.products, facts.merge_flags, facts.first_merges, facts.n_first_merges = products, flags, first, n_first
facts.n_merges = 4000
vocabulary = model.vocabulary._handle()
assert lib.pye_vocabulary_examine(vocabulary, facts, ffi.NULL) == lib.PYE_OK
os.truncate(sys.argv[1], 8192)
error = ffi.new("pye_error *")
status = lib.pye_vocabulary_examine(vocabulary, facts, error)
assert status == error.status == lib.PYE_ERROR_IO, (status, ffi.string(error.message))
"""
    output_of(program, path)


def test_texts_that_change_while_they_are_cut(tmp_path: Path) -> None:
    """A text is well-formed when it is looked at and no longer when it is cut: the call ends nevertheless."""
    whole = "\u00e9".encode() * 255
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", STRING, "gpt2")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [whole] * 512))
    rows = np.ones((512, 4), np.float32)
    builder.tensor("token_embd.weight", rows.shape, 0, rows.tobytes())
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    start = bytes(builder).index(whole)
    program = """
import mmap, random
start, stride = int(sys.argv[2]), 8 + 510
chance = random.Random(1)
with pyembed.load_model(sys.argv[1], validate="off") as model, open(sys.argv[1], "r+b") as file:
    vocabulary, texts = model.vocabulary, mmap.mmap(file.fileno(), 0)
    begun = time.perf_counter()
    vocabulary.examine(splits=True)
    took = time.perf_counter() - begun
    whole = texts[start : start + 512 * stride]
    torn = bytearray(whole)
    for i in range(512):
        torn[i * stride : i * stride + 510] = bytes([0xC3]) * 510
    def tear(delay):
        time.sleep(delay)
        texts[start : start + 512 * stride] = torn
    for _ in range(20):
        writer = threading.Thread(target=tear, args=[took * chance.random()])
        writer.start()
        vocabulary.examine(splits=True)
        writer.join()
        texts[start : start + 512 * stride] = whole
"""
    output_of(program, path, start, timeout=20)


@cuts_mapped_files
def test_a_file_truncated_while_it_is_opened(path: Path) -> None:
    """A writer shortens and restores the file all the time: every load ends well or with an exception."""
    program = """
whole = open(sys.argv[1], "rb").read()
stop = threading.Event()
def shake():
    with open(sys.argv[1], "r+b") as file:
        while not stop.is_set():
            file.truncate(20_000)
            file.seek(0)
            file.write(whole)
            file.flush()
            time.sleep(0.001)  # a writer that never rests keeps readers waiting in the system
writer = threading.Thread(target=shake)
writer.start()
served = errors = 0
began = time.monotonic()
while time.monotonic() < began + 1.5 or (not errors and time.monotonic() < began + 30):
    try:
        with pyembed.load_model(sys.argv[1]) as model:
            model.vocabulary.digest
            model.embed(np.arange(0, 4096, 7))
        served += 1
    except (OSError, pyembed.FormatError):
        errors += 1
stop.set()
writer.join()
print(served, errors)
"""
    served, errors = map(int, output_of(program, path).split())
    assert served + errors > 20
    assert errors > 0


@on_linux
def test_without_the_guard_the_process_dies_as_any_that_maps(path: Path) -> None:
    program = """
model = pyembed.load_model(sys.argv[1], guard=False)
assert not catches_bus_errors()
model.embed([4000])  # otherwise its pages would be asked for, and missed, before they are read
os.truncate(sys.argv[1], 8192)
model.embed([4000])
"""
    assert child(program, path).returncode == -signal.SIGBUS


@on_linux
def test_the_handler_is_there_while_it_is_needed(path: Path) -> None:
    program = """
assert not catches_bus_errors()
for mode in ("none", "dio"):
    pyembed.load_model(sys.argv[1], load_mode=mode).close()
    with pyembed.load_model(sys.argv[1], load_mode=mode):
        assert not catches_bus_errors()
models = [pyembed.load_model(sys.argv[1]) for _ in range(200)]
table = pyembed.open_table(sys.argv[1])
assert catches_bus_errors()
for model in models:
    model.close()
del model, models
assert catches_bus_errors()
table.close()
assert not catches_bus_errors()
"""
    output_of(program, path)


GATHER_TRUNCATED = """
os.truncate(sys.argv[1], os.path.getsize(sys.argv[1]) // 2 + 5000)
refused(lambda: model.embed(np.arange(4096)))
refused(lambda: model.embed([0]))
print("survived")
"""


@on_linux
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("faulthandler.enable()", ""),
        ("", "faulthandler.enable()"),
        ("faulthandler.enable()", "faulthandler.disable(); model.check()"),
        ("faulthandler.enable()", "faulthandler.disable(); other = pyembed.load_model(sys.argv[2])"),
        ("", "faulthandler.enable(); faulthandler.disable()"),
        ("faulthandler.enable()", "faulthandler.disable(); faulthandler.enable(); model.check()"),
    ],
)
def test_other_handlers_before_and_after(path: Path, before: str, after: str) -> None:
    program = f"import faulthandler\n{before}\nmodel = pyembed.load_model(sys.argv[1])\n{after}\n"
    assert "survived" in output_of(program + GATHER_TRUNCATED, path, pyembed.demo_model())


@on_linux
@pytest.mark.parametrize("reason", ["another's mapping", "raised", "sent"])
@pytest.mark.parametrize("handler", ["", "import faulthandler; faulthandler.enable()"])
def test_what_is_not_ours_ends_as_it_would_without_us(path: Path, reason: str, handler: str) -> None:
    program = f"{handler}\nmodel = pyembed.load_model(sys.argv[1])\nother = sys.argv[1] + '.other'\n"
    program += {
        "another's mapping": """
open(other, "wb").write(bytes(100_000))
mapped = np.memmap(other, mode="r")
os.truncate(other, 10)
mapped[90_000].item()
""",
        "raised": "signal.raise_signal(signal.SIGBUS)",
        "sent": "os.kill(os.getpid(), signal.SIGBUS); time.sleep(5)",
    }[reason]
    done = child(program, path)
    assert done.returncode == -signal.SIGBUS
    assert ("Bus error" in done.stderr) == bool(handler)


@on_linux
def test_an_ignored_signal_stays_ignored(path: Path) -> None:
    program = """
signal.signal(signal.SIGBUS, signal.SIG_IGN)
model = pyembed.load_model(sys.argv[1])
signal.raise_signal(signal.SIGBUS)
"""
    output_of(program + GATHER_TRUNCATED, path)


@on_linux
def test_a_child_of_a_fork_is_guarded_too(path: Path) -> None:
    program = """
model = pyembed.load_model(sys.argv[1])
os.truncate(sys.argv[1], 8192)
child = os.fork()
refused(lambda: model.embed(np.arange(4096)))
if child == 0:
    model.close()
    os._exit(0 if not catches_bus_errors() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    output_of(program, path)


# ------------------------------------------------------------------------------------ files that change


def opened(path: Path) -> pyembed.Model:
    write_model(path)
    os.utime(path, ns=(0, 0))
    return pyembed.load_model(path)


def test_check_tells_what_became_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "same.gguf"
    with opened(path) as model:
        assert model.check() is None
        os.utime(path, ns=(10**9, 10**9))
        assert model.check() == pyembed.Change(pyembed.ChangeKind.OVERWRITTEN, str(path))
    path = tmp_path / "grown.gguf"
    with opened(path) as model, path.open("ab") as file:
        file.write(b"more")
        file.flush()
        os.utime(path, ns=(0, 0))
        assert str(model.check()) == f"{path} was overwritten since it was opened"
    path = tmp_path / "gone.gguf"
    with opened(path) as model:
        os.rename(path, tmp_path / "moved.gguf")
        change = model.check()
        assert change is not None
        assert (change.kind, change.harmless) == ("removed", True)
        assert (model.embed([4095]) == 1).all()
    with pytest.raises(ValueError, match="closed"):
        model.check()
    with pyembed.open_table(pyembed.demo_model()) as table:
        assert table.check() is None


@pytest.mark.posix  # Windows lets nobody cut or delete a file that is mapped
def test_check_tells_of_files_that_are_cut_or_deleted(tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    with opened(path) as model:
        os.truncate(path, path.stat().st_size - 1)
        change = model.check()
        assert change is not None
        assert change.kind == "truncated"
        assert not change.harmless
    path = tmp_path / "gone.gguf"
    with opened(path) as model:
        path.unlink()
        change = model.check()
        assert change is not None
        assert (change.kind, change.harmless) == ("removed", True)
        assert (model.embed([4095]) == 1).all()


def test_check_names_the_shard(tmp_path: Path) -> None:
    from tests.helpers.gguf_bytes import U16

    paths = [tmp_path / f"m-{i + 1:05d}-of-00002.gguf" for i in range(2)]
    for i, path in enumerate(paths):
        builder = GGUFBytes().add("split.no", U16, i).add("split.count", U16, 2)
        builder.add("split.tensors.count", I32, 2).tensor(f"t{i}", (2, 2), 0, bytes(16))
        path.write_bytes(bytes(builder))
    with pyembed.load_model(paths[0]) as model:
        assert model.check() is None
        os.rename(paths[1], tmp_path / "moved.gguf")
        change = model.check()
        assert change is not None
        assert change.path == str(paths[1])


def test_a_replaced_file_goes_on_being_served(path: Path, tmp_path: Path) -> None:
    with pyembed.load_model(path) as model:
        put(write_model(tmp_path / "new.gguf", n_tokens=10).read_bytes(), path)
        change = model.check()
        assert change is not None
        assert (change.kind, change.harmless, change.path) == ("replaced", True, str(path))
        assert (model.embed([4095]) == 1).all()
        assert len(model.vocabulary) == 4000
        with pyembed.load_model(path) as fresh:
            assert fresh.check() is None
            assert len(fresh.vocabulary) == 10


def test_a_swap_under_load_loses_no_request(path: Path) -> None:
    """The pattern of `Model.check`: open the new, swap the name; the old goes with its last user."""
    program = """
from pathlib import Path
from types import SimpleNamespace
from tests.helpers.deployed import put
server = SimpleNamespace(model=pyembed.load_model(sys.argv[1]))
stop, served = threading.Event(), [0] * 8
def serve(worker):
    while not stop.is_set():
        model = server.model  # once a request
        rows = model.embed([1, 2, 3])
        assert len(model.vocabulary) == 4000 and (rows == 1).all()
        served[worker] += 1
threads = [threading.Thread(target=serve, args=(i,)) for i in range(8)]
failed = []
threading.excepthook = lambda args: failed.append(args)
for thread in threads: thread.start()
data = open(sys.argv[1], "rb").read()
for swap in range(50):
    put(data, Path(sys.argv[1]))
    assert server.model.check().kind == "replaced"
    server.model = pyembed.load_model(sys.argv[1])
    assert server.model.check() is None
stop.set()
for thread in threads: thread.join()
assert not failed, failed
# The old ones went with their last users.
if sys.platform == "win32":
    old = [path for path in Path(sys.argv[1]).parent.iterdir() if str(path) != sys.argv[1]]
    assert len(old) == 50
    for path in old:
        path.unlink()  # as nothing is that is mapped
elif sys.platform == "linux":
    assert sum(sys.argv[1] in line for line in open("/proc/self/maps")) == 1
print(sum(served))
"""
    assert int(output_of(program, path)) > 100
