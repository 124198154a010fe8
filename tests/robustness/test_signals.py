"""Signals and forks at bad moments: what a handler raises arrives, calls end soon, children work alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import pyembed
from pyembed.core.system import ENDING_SIGNALS
from tests.helpers.children import SANITIZED, child, output_of
from tools.signalled import HEEDING, Command

WIDE = 1024
N_ROWS = 1 << 19  # a GiB of halves, of a file without blocks


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a GGUF file of a GiB of zeros that takes no room."""
    import struct

    def text(data: bytes) -> bytes:
        return struct.pack("<Q", len(data)) + data

    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    header += text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    header += text(b"token_embd.weight") + struct.pack("<IQQiQ", 2, WIDE, N_ROWS, 1, 0)
    path = tmp_path_factory.mktemp("sparse") / "big.gguf"
    with path.open("wb") as file:
        file.write(header + bytes(-len(header) % 32))
        file.truncate(file.tell() + 2 * WIDE * N_ROWS)
    return path


CALLS = {
    "digest": "model.table.digest()",
    "sampled digest": "[model.table.digest(2) for _ in range(19)]",
    "norms": "model.table.norms",
    "scores": "model.table.scores(np.ones(1024))",
    "cosine": "model.table.top(np.ones(1024), 3, 'cosine')",
    "one thread": "[model.table.top(np.ones(1024), 3, threads=1) for _ in range(19)]",
    "many queries": "model.table.top(np.ones((5000, 1024)), 3)",
    "progress": "model.table.top(np.ones((50, 1024)), 3, progress=lambda text, done: None)",
    "check_rows": "[model.table.check_rows(0, 1 << 19, key=bytes(16)) for _ in range(19)]",
    "gather": "[model.table.gather(np.arange(1 << 17), dtype='float16', threads=1) for _ in range(99)]",
    "names": "[pyembed.Ngram(constants).rows(np.zeros(1 << 21, 'i1'), threads=1) for _ in range(99)]",
    "read": "pyembed.load_model(sys.argv[1], load_mode='none', validate='off').table",
    "read with progress": "pyembed.load_model(sys.argv[1], load_mode='none', validate='off', "
    "progress_callback=lambda share: None)",
    "lock": "pyembed.make_lock(model)",
    "validate": "model.validate('full')",
}
INTERRUPTED = """
class Told(BaseException):
    pass
def handler(number, frame):
    global when
    when = time.monotonic()
    raise {raised}
model = pyembed.load_model(sys.argv[1], validate="off")
moduli, multipliers = np.full((1, 16), 10007, "u8"), np.ones((1, 2), "u8")
constants = pyembed.ngram.Constants(pyembed.ngram.Scheme.PLE, "", (0,), 2, 16, 9, moduli, multipliers)
interrupt(0.2, handler)
try:
    {call}
except BaseException as error:
    print(type(error).__name__, time.monotonic() - when)
else:
    print("finished", 0)
assert (model.embed([1, 2]) == 0).all(), "the model is of use afterwards"
"""


@pytest.mark.skipif(SANITIZED, reason="a GiB takes long")
@pytest.mark.parametrize("call", CALLS)
def test_what_a_handler_raises_ends_a_long_call_soon(call: str, sparse: Path) -> None:
    name, seconds = output_of(INTERRUPTED.format(raised="Told()", call=CALLS[call]), sparse).split()
    if name == "finished":
        pytest.skip("this machine is too fast")
    assert name == "Told"
    assert float(seconds) < 1


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt()", "SystemExit('terminated')", "TimeoutError()", "OSError(5, 'x')"]
)
@pytest.mark.parametrize("call", ["progress", "read with progress", "digest"])
def test_it_arrives_as_what_it_is(call: str, raised: str, sparse: Path) -> None:
    done = child(INTERRUPTED.format(raised=raised, call=CALLS[call]), sparse)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == raised.split("(")[0]
    assert done.stderr == "", "nothing is printed by the way"


@pytest.mark.parametrize(
    "raised", [ValueError, TypeError, KeyError, AssertionError, TimeoutError, MemoryError]
)
def test_what_a_handler_raises_is_never_a_finding(
    raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler:
        def __call__(self, *_: object) -> None:
            raise raised("of the handler")

    def examine(subject: object, findings: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("pyembed.validation.container.examine", examine)
    method = Handler().__call__
    for handler in (lambda *_: method(), Handler(), method, partial(method)):
        before = signal.signal(signal.SIGTERM, handler)
        try:
            with pytest.raises(raised, match="of the handler"):
                pyembed.validate(pyembed.demo_model())
            with pytest.raises(raised, match="of the handler"):
                pyembed.validate_all([pyembed.demo_model()])
        finally:
            signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("name", ["stat", "link", "replace", "unlink", "fsync", "open", "fstat"])
def test_a_timeout_in_the_middle_of_an_output_arrives_as_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "vectors.tsv"  # and its metadata, so that both are put back
    with pyembed.load_model(pyembed.demo_model()) as model:

        def export() -> None:
            pyembed.export.export(model.table, out, vocabulary=model.vocabulary, ids=[1, 2], force=True)

        export()
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        raised = TimeoutError("of the handler")

        def late(*args: object, **options: object) -> object:
            monkeypatch.undo()
            raise raised

        monkeypatch.setattr(os, name, late)
        with pytest.raises(TimeoutError) as caught:
            export()
    assert caught.value is raised
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path in before} == before


FORKED = """
np.random.default_rng(1).standard_normal((60_000, 64)).astype(np.float16).tofile(sys.argv[1])
table = pyembed.open_table(sys.argv[1], shape=(-1, 64), dtype="float16")
query = np.random.default_rng(2).standard_normal((40, 64)).astype(np.float32)
wanted = QUIET_CALL
forked = []
def fork(*_):
    if not forked:
        forked.append(os.fork())
for _ in range(99):  # with many threads the one that calls may come to do nothing, and learns nothing
    got = LOUD_CALL
    if forked:
        break
same = all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
# The child asks once more, now with workers of its own.
again = QUIET_CALL
same = same and all(np.array_equal(a, b) for a, b in zip(again, wanted, strict=True))
if forked and forked[0] == 0:
    os._exit(0 if same else 1)
assert same and forked, (same, forked)
for _ in range(600):
    ended, status = os.waitpid(forked[0], os.WNOHANG)
    if ended:
        break
    time.sleep(0.05)
else:
    os.kill(forked[0], signal.SIGKILL)
    raise AssertionError("the child hangs")
assert status == 0, status
"""


@pytest.mark.posix
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("call", ["top(query, 20, threads=T P)", "scores(query, threads=T P)"])
def test_a_child_forked_in_progress_works_alone(call: str, threads: int, tmp_path: Path) -> None:
    call = f"table.{call}".replace("T", str(threads))
    quiet, loud = call.replace(" P", ""), call.replace(" P", ", progress=fork")
    output_of(FORKED.replace("QUIET_CALL", quiet).replace("LOUD_CALL", loud), tmp_path / "rows.bin")


LONG_FORKED = """
model = pyembed.load_model(sys.argv[1], validate="off")
forked = []
def fork(*_):
    if not forked:
        forked.append(os.fork())
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.1)
{call}
if not forked:
    signal.pause()
if forked[0] == 0:
    os._exit(0)
for _ in range(1200):
    if os.waitpid(forked[0], os.WNOHANG)[0]:
        break
    time.sleep(0.05)
else:
    os.kill(forked[0], signal.SIGKILL)
    raise AssertionError("the child hangs")
"""


@pytest.mark.posix
@pytest.mark.skipif(SANITIZED, reason="a GiB takes long")
@pytest.mark.parametrize("call", ["norms", "cosine", "check_rows"])
def test_a_handler_may_fork_in_a_long_call(call: str, sparse: Path) -> None:
    output_of(LONG_FORKED.format(call=CALLS[call].replace("range(19)", "range(2)")), sparse)


# ------------------------------------------------------------------------------------------ the command

COMMAND = [sys.executable, "-c", "import sys, _pyembed_command; sys.exit(_pyembed_command.main())"]


def has_begun(command: str, pid: int, folder: Path) -> bool:
    """Return whether a command is at its rows, which take it longer than all before."""
    if command == "export":
        return len(os.listdir(folder)) > 1
    return "big.gguf" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(SANITIZED, reason="a GiB takes long")
@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING_SIGNALS])
@pytest.mark.parametrize("command", ["export", pytest.param("lock", marks=pytest.mark.posix)])
def test_a_command_that_is_ended_leaves_nothing(
    command: str, number: signal.Signals, sparse: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.npy").write_bytes(b"old")
    out = [tmp_path / "x.npy"] if command == "export" else []
    process = Command(command, sparse, *out, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not has_begun(command, process.pid, tmp_path):
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(number)
    sent = time.monotonic()
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 128 + number
    assert time.monotonic() - sent < 2
    assert os.listdir(tmp_path) == ["x.npy"]
    assert (tmp_path / "x.npy").read_bytes() == b"old"


def ended(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **HEEDING)


EARLY = """
import signal, sys, threading
import _pyembed_command
delay = float(sys.argv.pop(1))
if hasattr(signal, "setitimer"):
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, delay)
else:
    import _thread
    timer = threading.Timer(delay, _thread.interrupt_main)
    timer.daemon = True
    timer.start()
sys.exit(_pyembed_command.main())
"""


@pytest.mark.parametrize("milliseconds", [30, 60, 100, 150, 250])
def test_ctrl_c_while_modules_are_imported(milliseconds: int) -> None:
    done = ended(EARLY, str(milliseconds / 1000), "info", "demo")
    assert (done.returncode, done.stderr) in {(130, ""), (0, "")}


HIDDEN = """
import importlib.abc, os, signal, sys

class Hides(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "numpy" or not sys.argv[0].endswith(("-m", "program.py")):
            return None
        try:
            for _ in range(int(os.environ["INTERRUPTED"])):
                signal.raise_signal(signal.SIGINT)
                for _ in range(1000):
                    pass
        except KeyboardInterrupt:
            raise ImportError("a module that C code imports is missing") from None

if "INTERRUPTED" in os.environ:
    sys.meta_path.insert(0, Hides())
"""
PROGRAM = "import sys, _pyembed_command; sys.exit(_pyembed_command.main())"


@pytest.mark.parametrize("start", [["program.py"], ["-m", "pyembed"], ["-mpyembed"]])
def test_ctrl_c_that_a_module_reports_as_an_import_error(start: list[str], tmp_path: Path) -> None:
    """However the command is started; NumPy is imported before any command is."""
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    (tmp_path / "program.py").write_text(PROGRAM)

    def ends(**settings: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *start, "info", "demo"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path), **settings},
            **HEEDING,
        )
        return done.returncode, done.stderr

    assert ends(INTERRUPTED="1") == (130, "")
    assert ends(INTERRUPTED="2") == (130, "")
    assert ends() == (0, "")


def test_another_program_has_its_own_ctrl_c(tmp_path: Path) -> None:
    """Also one that Python runs as a module of a package that imports this one."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "__init__.py").write_text("import pyembed")
    (tmp_path / "other" / "__main__.py").write_text(
        "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run(
        [sys.executable, "-m", "other", "pyembed"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        **HEEDING,
    )
    assert done.stdout == "True\n"


@pytest.mark.posix
@pytest.mark.parametrize(
    ("redirected", "code", "says"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, "pyembed: error: No space left on device\n"),
        ("| head -c 1 >/dev/null", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(redirected: str, code: int, says: str) -> None:
    command = ["sh", "-c", f'"$@" {redirected}', "sh", *COMMAND, "info", "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (code, says)


@pytest.mark.posix
def test_data_for_a_closed_stdout_is_an_error() -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", *COMMAND, "embed", "demo", "--ids", "1", "--out", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (2, "pyembed: error: /dev/stdout: Bad file descriptor\n")


@pytest.mark.posix
@pytest.mark.parametrize("made", ["os.pipe()", "[end.detach() for end in socket.socketpair()]"])
def test_a_notice_that_nobody_reads_ends_no_process(made: str) -> None:
    output_of(
        f"""
import socket
from pyembed._native import ffi, lib
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
table = pyembed.load_model(pyembed.demo_model()).table
done, (reading, writing) = table.submit([0, 1]), {made}
done.wait()
os.close(reading)
lib.pye_ticket_notify(done._ticket, writing)
assert not signal.sigpending() and not signal.pthread_sigmask(signal.SIG_BLOCK, [])
arrived = []
signal.signal(signal.SIGPIPE, lambda *_: arrived.append(1))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
signal.raise_signal(signal.SIGPIPE)  # from elsewhere: it stays
lib.pye_ticket_notify(done._ticket, writing)
assert not arrived and signal.sigpending() == {{signal.SIGPIPE}}
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPIPE])
assert arrived
"""
    )
