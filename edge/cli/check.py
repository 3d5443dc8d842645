"""`penstock check`: formatter, linters, type checkers and house rules, a line each. Runs every one, even after a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from core.process import run_tool
from core.settings import ROOT
from edge.cli.pages import WEB, ensure_pages, node_environment
from edge.local.fault import ServiceFault

TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Check:
    """One program that finds fault or does not."""

    name: str
    argv: tuple[str, ...]
    cwd: Path = ROOT
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def run_check(*, fix: bool) -> int:
    """Runs all checks; 0 when every one passes, else 1."""
    console = Console(stderr=True)
    checks = [*_python_checks(fix=fix), *_page_checks(console)]
    width = max(len(check.name) for check in checks)
    failed = [check.name for check in checks if not _passes(check, width, console)]
    if failed:
        console.print(f"[red]{len(failed)} of {len(checks)} failed: {', '.join(failed)}")
    return 1 if failed else 0


def _python_checks(*, fix: bool) -> list[Check]:
    beside = Path(sys.executable).parent
    python = (sys.executable, "-m")
    return [
        Check("format", (*python, "ruff", "format", *(() if fix else ("--check", "--diff")), ".")),
        Check("lint", (*python, "ruff", "check", *(("--fix",) if fix else ()), ".")),
        Check("types", (*python, "mypy")),
        Check("imports", (str(beside / "lint-imports"), "--no-cache")),
        Check("house rules", (*python, "pytest", "-q", "-p", "no:cacheprovider", "tests/repo")),
    ]


def _page_checks(console: Console) -> list[Check]:
    """The pages' own checks, with Node from the machine or from the wheel that builds them."""
    try:
        ensure_pages(console)
        environment = node_environment()
    except ServiceFault as fault:
        console.print(f"[yellow]pages: not checked: {escape(str(fault))}")
        return [] if os.environ.get("CI") != "true" else [Check("pages", ("false",))]
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None:
        return []
    return [
        Check("pages: types", (npm, "run", "check", "--silent"), WEB, environment),
        Check("pages: tests", (npm, "test", "--silent"), WEB, environment),
    ]


def _passes(check: Check, width: int, console: Console) -> bool:
    began = time.monotonic()
    try:
        done = run_tool(check.argv, timeout_s=TIMEOUT_S, env=check.env, cwd=check.cwd)
        well, said = done.returncode == 0, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        well, said = False, f"did not end within {TIMEOUT_S} s"
    except OSError as error:
        well, said = False, f"cannot run {check.argv[0]}: {error.strerror}"
    mark = "[green]✓" if well else "[red]✗"
    console.print(f"{mark} [/]{check.name:<{width}} [dim]{time.monotonic() - began:5.1f} s")
    if not well:
        console.print(escape(said.strip()), highlight=False, soft_wrap=True)
    return well
