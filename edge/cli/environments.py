"""Python environments beside the product's own, each of one lock: for programs whose packages do not go with ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from core.process import run_tool
from edge.local.fault import ServiceFault

INSTALL_TIMEOUT_S = 900
LAST_LINES = 12


def make(venv: Path, lock: Path) -> None:
    """An environment at `venv` with the packages of `lock`, by their hashes. Raises ServiceFault, subprocess.TimeoutExpired."""
    python = str(venv / "bin" / "python")
    wanted = ["--quiet", "--require-hashes", "-r", str(lock)]
    uv = shutil.which("uv")
    if uv:
        steps = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(venv)],
            [uv, "pip", "install", "--python", python, *wanted],
        ]
    else:
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check"]
        steps = [[sys.executable, "-m", "venv", "--without-pip", str(venv)], [*pip, *wanted]]
    for step in steps:
        done = run_tool(step, timeout_s=INSTALL_TIMEOUT_S, env=dict(os.environ))
        if done.returncode != 0:
            raise ServiceFault(
                f"The environment {venv.name}", f"was not made:\n{last_words(done)}", "It needs the PyPI registry once."
            )


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last lines of what a program said, for whoever is told that it failed."""
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:])
