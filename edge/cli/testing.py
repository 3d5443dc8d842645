"""`penstock test`: brings what the tests drive, builds the pages, and hands over to pytest.

Which tests are left out, and what that means, is decided in `tests/needs.py`, so that a bare `pytest` does the same.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from core.settings import ROOT
from edge.cli.pages import ensure_pages
from edge.cli.tools import NAMES, node_path, provide

REASONS = "PENSTOCK_TEST_REASONS"
"""Environment variable: JSON, tool to why it could not be installed."""

_NEEDS = re.compile(r"\.needs\(([^)]*)\)")
_NAME = re.compile(r"[\"']([a-z0-9]+)[\"']")


def run_tests(args: list[str], *, long: bool) -> int:
    """Runs the suite; pytest's exit code, or 1 when CI is true and a test was left out. Raises ServiceFault."""
    console = Console(stderr=True)
    os.environ["PATH"] = node_path()
    os.environ[REASONS] = json.dumps(provide(wanted_tools(_sources(args)), console))
    ensure_pages(console)
    # The settings of pytest are found from the checkout, wherever the command was typed.
    args = [_absolute(arg) for arg in args]
    os.chdir(ROOT)
    return int(pytest.main(pytest_arguments(args, long=long, cores=len(os.sched_getaffinity(0)))))


def _absolute(arg: str) -> str:
    path, mark, name = arg.partition("::")
    return f"{Path(path).absolute()}{mark}{name}" if path and not path.startswith("-") and Path(path).exists() else arg


def pytest_arguments(args: Sequence[str], *, long: bool, cores: int) -> list[str]:
    """What pytest is called with: ours first, so that the caller's win."""
    ours: list[str] = []
    # A debugger needs the terminal of one process.
    if not any(arg.startswith(("-n", "--numprocesses", "--pdb", "--trace")) or arg == "no:xdist" for arg in args):
        # Tests of one installation wait for it: with two processes two cores were idle four tenths of the time, with three a third.
        # Campaigns load the machine by themselves. In which order they are handed out, tests/installations.py says.
        ours += ["-n", str(max(2, cores) if long else cores + 2), "--dist", "worksteal"]
    if not long and not any(arg == "-m" or arg.startswith("-m=") for arg in args):
        ours += ["-m", "not long"]
    return [*ours, *args]


def wanted_tools(sources: Sequence[Path]) -> set[str]:
    """The tools that `needs` marks in these files name. Read as text: importing the tests would cost seconds."""
    wanted: set[str] = set()
    for path in sources:
        for call in _NEEDS.findall(path.read_text(encoding="utf-8", errors="replace")):
            wanted.update(_NAME.findall(call))
    return wanted & NAMES


def _sources(args: Sequence[str]) -> list[Path]:
    """The test files that pytest's path arguments name; all of them when none does."""
    named = [path for arg in args if (path := Path(arg.partition("::")[0])).exists() and path.parts]
    roots = named or [ROOT / "tests"]
    return [
        source
        for root in roots
        for source in ([root] if root.is_file() else sorted(root.rglob("*.py")))
        if source.suffix == ".py" and "node_modules" not in source.parts
    ]
