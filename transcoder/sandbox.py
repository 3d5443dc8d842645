"""Decides how a child that reads hostile files is shut in: bubblewrap where it works, else the kernel's own layers.

Pure but for `find_shelter`, which tries what this machine allows. Nothing here starts a decoder; confine.py is what runs
between us and it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.process import run_tool
from transcoder.orphans import VARIABLE, name_owner

ROOT = Path(__file__).resolve().parent.parent
_CONFINE = Path(__file__).resolve().with_name("confine.py")
_TRY_S = 20.0
# What a program needs to be loaded, and the few facts about the machine that encoders choose their threads by.
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/localtime")
_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/sys/devices/system/node")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Shelter:
    """What this machine allows: `bubblewrap` is its path, `layers` are confine.py's."""

    bubblewrap: str | None
    layers: tuple[str, ...]

    @property
    def has_no_network(self) -> bool:
        """Whether a child cannot reach the network by any way."""
        return self.bubblewrap is not None or "seccomp" in self.layers or "namespaces" in self.layers

    @property
    def has_no_files(self) -> bool:
        """Whether a child sees only the files that it was given."""
        return self.bubblewrap is not None or "landlock" in self.layers

    @property
    def missing(self) -> tuple[str, ...]:
        """What a child could still do that it should not; empty when it is wholly shut in."""
        lacking = [] if self.has_no_network else ["reach the network"]
        return (*lacking, *(() if self.has_no_files else ("read every file of the worker's user",)))


OPEN = Shelter(None, ())


@cache
def find_shelter() -> Shelter:
    """Tries, once a process, what the machine allows. Blocking, some 100 ms."""
    if not sys.platform.startswith("linux"):
        return OPEN
    tried = run_tool([sys.executable, "-I", "-S", "-B", _CONFINE, "{}"], timeout_s=_TRY_S)
    layers = tuple(json.loads(tried.stdout)) if tried.returncode == 0 else ()
    path = shutil.which("bwrap")
    if path is not None:
        argv = [*_bubblewrap(path, [], [], "/"), sys.executable, "-I", "-S", "-c", ""]
        if run_tool(argv, timeout_s=_TRY_S).returncode != 0:
            path = None
    return Shelter(path, layers)


def shut_in(
    shelter: Shelter,
    argv: Sequence[str | Path],
    *,
    reads: Sequence[Path] = (),
    writes: Sequence[Path] = (),
    lists: Sequence[Path] = (),
    cwd: Path,
) -> list[str]:
    """`argv` such that it sees `reads` and the names in `lists`, changes only what is below `writes`, reaches no network."""
    program = str(argv[0])
    arguments = [str(part) for part in argv[1:]]
    read = [str(path) for path in reads]
    write = [str(path) for path in writes]
    layers = [layer for layer in shelter.layers if shelter.bubblewrap is None or layer != "namespaces"]
    confined = [program, *arguments]
    if layers:
        known = [*_SYSTEM, *_FACTS, *_python(), program, *read]
        spec = json.dumps(
            {"layers": layers, "reads": known, "writes": [*_DEVICES, *write], "lists": [str(path) for path in lists]}
        )
        confined = [sys.executable, "-I", "-S", "-B", str(_CONFINE), spec, program, *arguments]
    if shelter.bubblewrap is None:
        return confined
    return _bubblewrap(shelter.bubblewrap, [str(_CONFINE), program, *read], write, str(cwd)) + confined


def _bubblewrap(path: str, reads: Sequence[str], writes: Sequence[str], cwd: str) -> list[str]:
    """A root of its own with the system and what was named, every namespace, and death with us."""
    argv = [path, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--dev", "/dev", "--proc", "/proc"]
    for name in _outermost([*_SYSTEM, *_python(), *reads]):
        argv += ["--ro-bind-try", name, name]
    for name in writes:
        argv += ["--bind", name, name]
    return [*argv, "--setenv", VARIABLE, name_owner(os.getpid()) or "", "--chdir", cwd, "--"]


def _outermost(names: Iterable[str]) -> list[str]:
    """Without what lies below another: bubblewrap cannot put a folder into one that it has already made read-only."""
    found = list(dict.fromkeys(names))
    return [name for name in found if not any(name != top and Path(name).is_relative_to(top) for top in found)]


def _python() -> tuple[str, ...]:
    """The interpreter with its packages, by the names in use and by what links lead to: the probe is one of its programs."""
    return tuple(
        sorted({name for given in (sys.prefix, sys.base_prefix) for name in (given, str(Path(given).resolve()))})
    )
