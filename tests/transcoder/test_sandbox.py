"""What a program in the sandbox can do: read what it was given, write where it may, and nothing else, whatever shuts it in."""

from __future__ import annotations

import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core import errors
from core.process import run_tool
from core.settings import ROOT
from transcoder import confine, encoder
from transcoder.sandbox import OPEN, Shelter, find_shelter, shut_in

HERE = find_shelter()
WAYS = {
    "bubblewrap": HERE,
    "kernel": replace(HERE, bubblewrap=None),
    "landlock and seccomp": replace(HERE, bubblewrap=None, layers=("landlock", "seccomp")),
    "namespaces": replace(HERE, bubblewrap=None, layers=("namespaces",)),
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.needs("bubblewrap")) if name == "bubblewrap" else name for name in WAYS
    ]
)
def shelter(request: pytest.FixtureRequest) -> Shelter:
    """Each way of shutting in that this machine has."""
    way = WAYS[request.param]
    if request.param == "bubblewrap" and HERE.bubblewrap is None:
        pytest.skip("needs bubblewrap: it may not be used here")
    if not set(way.layers) <= set(HERE.layers):
        pytest.skip(f"needs a kernel with {', '.join(sorted(set(way.layers) - set(HERE.layers)))}")
    return way


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The folder that the child may write into."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


def run(shelter: Shelter, desk: Path, script: str, *, reads: tuple[Path, ...] = ()) -> tuple[int, str]:
    """What a Python program prints in there, and how it ends."""
    argv = shut_in(shelter, [sys.executable, "-I", "-S", "-c", script], reads=reads, writes=[desk], cwd=desk)
    done = run_tool(argv, timeout_s=60, env={}, cwd=desk)
    return done.returncode, (done.stdout + done.stderr).strip()


def attempt(what: str) -> str:
    """A script that says `done` or why not."""
    return f"import os, socket\ntry:\n    {what}\n    print('done')\nexcept OSError as error:\n    print('refused')\n"


def test_it_cannot_connect_to_anything(shelter: Shelter, desk: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert run(shelter, desk, attempt(f"socket.create_connection(('127.0.0.1', {port}), 2)"))[1] == "refused"
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_datagrams_go_nowhere(shelter: Shelter, desk: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        send = f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', {server.getsockname()[1]}))"
        assert run(shelter, desk, attempt(send))[1] == "refused"
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.recv(10)


def test_it_reads_what_it_was_given_and_no_other_file(shelter: Shelter, desk: Path, tmp_path: Path) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_text("given")
    other.write_text("other")
    code, said = run(shelter, desk, f"print(open({str(given)!r}).read())", reads=(given,))
    assert (code, said) == (0, "given")
    if shelter.has_no_files:
        for path in (other, Path("/etc/passwd"), ROOT / "pyproject.toml"):
            assert run(shelter, desk, attempt(f"open({str(path)!r}).read()"), reads=(given,))[1] == "refused"


def test_it_writes_into_its_folder_and_nowhere_else(shelter: Shelter, desk: Path, tmp_path: Path) -> None:
    assert run(shelter, desk, attempt("open('mine', 'w').write('x')"))[1] == "done"
    assert (desk / "mine").read_text() == "x"
    if shelter.has_no_files:
        kept = tmp_path / "kept"
        kept.write_text("kept")
        for what in (f"open({str(kept)!r}, 'w')", f"os.unlink({str(kept)!r})", f"os.mkdir({str(tmp_path / 'new')!r})"):
            assert run(shelter, desk, attempt(what), reads=(kept,))[1] == "refused"
        assert kept.read_text() == "kept"


def test_it_starts_no_process_and_signals_none(shelter: Shelter, desk: Path) -> None:
    if "seccomp" in shelter.layers:
        assert run(shelter, desk, attempt("os.fork()"))[1] == "refused"
        assert run(shelter, desk, attempt("os.kill(1, 0)"))[1] == "refused"
    # Threads are what an encoder is made of.
    threads = "import threading\nt = threading.Thread(target=print, args=('thread',))\nt.start()\nt.join()"
    assert run(shelter, desk, threads) == (0, "thread")


def test_what_cannot_be_had_stops_the_program(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = '{"layers": ["landlock"], "reads": [], "writes": [], "lists": [], "broken": 1}'
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'transcoder')!r}); import confine\n"
        "def no(*_): raise confine.Unavailable('no landlock here')\n"
        f"confine.restrict_files = no\nsys.exit(confine.main(['confine', {spec!r}, '/bin/true']))"
    )
    done = run_tool([sys.executable, "-I", "-c", script], timeout_s=60)
    assert (done.returncode, done.stderr) == (confine.EXIT_UNCONFINED, "not confined: no landlock here\n")


def test_what_is_missing_is_said() -> None:
    assert OPEN.missing == ("reach the network", "read every file of the worker's user")
    assert Shelter(None, ("landlock",)).missing == ("reach the network",)
    assert Shelter(None, ("namespaces",)).missing == ("read every file of the worker's user",)
    assert Shelter("/usr/bin/bwrap", ()).missing == ()
    assert Shelter(None, ("landlock", "seccomp")).missing == ()


def test_a_program_that_may_not_be_found_says_so(desk: Path) -> None:
    done = run_tool(shut_in(HERE, ["/nowhere/ffmpeg"], writes=[desk], cwd=desk), timeout_s=60)
    assert done.returncode == confine.EXIT_NO_PROGRAM


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stop_from_outside_is_tried_again_and_a_crash_is_not(number: int) -> None:
    for code in (-number, 128 + number):
        assert isinstance(encoder.explain(code, ""), encoder.Transient)
    for code in (-signal.SIGSEGV, 128 + signal.SIGSEGV, -signal.SIGXCPU, 1):
        found = encoder.explain(code, "")
        assert isinstance(found, errors.Refusal)
        assert found.code is errors.ENCODE_FAILED
    unconfined = encoder.explain(confine.EXIT_UNCONFINED, "not confined: landlock")
    assert isinstance(unconfined, encoder.Transient)
    assert unconfined.refusal.code is errors.NOT_CONFINED
