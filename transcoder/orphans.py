"""Sandboxes that outlived their worker: found by the name that each carries in its arguments, and ended.

bubblewrap dies with its worker, and what it has started dies with it, but for one moment: its first process inside waits for a word
from the one outside before it ties itself to anything. Killed in between, the one outside leaves it waiting for ever, asleep,
and nothing that we could set beforehand passes to it. So whoever is alive on the machine looks.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

VARIABLE = "PENSTOCK_SANDBOX_OF"
_PROC = Path("/proc")
_START_TIME = 19
"""Its place in /proc/PID/stat after the name in parentheses, from 0 on (proc_pid_stat(5), field 22)."""


@cache
def _namespace() -> str:
    """Process numbers mean the same only where this is the same."""
    return os.readlink("/proc/self/ns/pid")


def name_owner(pid: int) -> str | None:
    """A process such that no other one ever has the name; None for one that has ended."""
    try:
        state, *rest = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Everything of a zombie is gone but its number.
    return None if state == "Z" else f"{_namespace()}/{pid}/{rest[_START_TIME - 1]}"


def owner_named_in(arguments: list[str]) -> str | None:
    """Whose sandbox a process is, by its command line; None for any other process, and for those of another machine's view."""
    for at, argument in enumerate(arguments[:-1]):
        if argument == VARIABLE and arguments[at + 1].startswith(f"{_namespace()}/"):
            return arguments[at + 1]
    return None


def end_orphans() -> int:
    """Kills sandboxes of workers that have ended; how many processes. Blocking, some milliseconds."""
    ended = 0
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # Held before it is looked at: the number may be another's at any time.
            held = os.pidfd_open(int(entry.name))
        except OSError:
            continue
        try:
            if _is_orphan(entry):
                signal.pidfd_send_signal(held, signal.SIGKILL)
                ended += 1
        except OSError:
            continue
        finally:
            os.close(held)
    return ended


def _is_orphan(entry: Path) -> bool:
    if entry.stat().st_uid != os.getuid():
        return False
    arguments = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    if not arguments[0].endswith("bwrap") or (owner := owner_named_in(arguments)) is None:
        return False
    return name_owner(int(owner.split("/")[1])) != owner
