"""Children of a worker that is killed at the worst moment: none stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from core.process import run_tool
from core.settings import ROOT
from tests.transcoder.test_worker import is_alive
from tests.waiting import until_now
from transcoder.orphans import VARIABLE, end_orphans, name_owner, owner_named_in
from transcoder.sandbox import find_shelter

# Starts a sandbox as a worker does, but such that bubblewrap's outer process stays where a kill leaves the inner one waiting:
# --userns-block-fd holds it between its clone and the word that it owes.
_WORKER = """
import subprocess, sys
from pathlib import Path
from transcoder.sandbox import find_shelter, shut_in
argv = shut_in(find_shelter(), ["/usr/bin/env", "sleep", "600"], cwd=Path("/"))
waits = ["--unshare-user", "--info-fd", "2", "--userns-block-fd", "0"]
held = subprocess.Popen([argv[0], *waits, *argv[1:]], stdin=subprocess.PIPE, start_new_session=True)
print(held.pid, flush=True)
sys.stdin.read()
"""
_FORKED = """
import os
from core.process import die_with_parent
prepare = die_with_parent()
before = os.getpid()
if os.fork() == 0:
    while os.getppid() == before:
        pass
    prepare()
    print("lives on", flush=True)
os._exit(0)
"""


def test_a_child_whose_parent_died_before_it_was_tied_to_it_ends() -> None:
    done = run_tool([sys.executable, "-c", _FORKED], timeout_s=60, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.needs("bubblewrap")
def test_a_sandbox_that_was_left_waiting_is_ended() -> None:
    if find_shelter().bubblewrap is None:
        pytest.skip("needs bubblewrap: it may not be used here")
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None
        outer = int(worker.stdout.readline())
        inner = until_now(lambda: [child.pid for child in psutil.Process(outer).children()], 60, "the inner process")[0]
        os.kill(outer, signal.SIGKILL)
        until_now(lambda: not is_alive(outer), 60, "the outer process to end")
        # It waits for ever; but whose worker lives is left alone.
        end_orphans()
        assert is_alive(inner)
        worker.kill()
        worker.wait()
        assert is_alive(inner)
        assert end_orphans() >= 1
        until_now(lambda: not is_alive(inner), 60, "the inner process to end")
    finally:
        worker.kill()
        worker.communicate()


def test_a_process_is_named_for_good(tmp_path: Path) -> None:
    mine = name_owner(os.getpid())
    assert mine is not None
    assert mine == name_owner(os.getpid())
    assert owner_named_in(["bwrap", "--setenv", VARIABLE, mine, "--"]) == mine
    # A number of another namespace means another process; a command line may end anywhere.
    assert owner_named_in(["bwrap", "--setenv", VARIABLE, "pid:[1]/5/7"]) is None
    assert owner_named_in(["bwrap", VARIABLE]) is None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    while is_alive(ended.pid):
        os.sched_yield()
    assert name_owner(ended.pid) is None
    ended.wait()
    assert name_owner(ended.pid) is None
