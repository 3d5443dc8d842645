"""Programs that a benchmark needs and Python's registry does not have: nginx, wrk, taskset."""

from __future__ import annotations

import os
import shutil
from types import MappingProxyType

from rich.console import Console

from core.process import run_tool

PACKAGES = MappingProxyType({"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"})


def install(console: Console, *programs: str) -> None:
    """Brings what is missing from Debian when that is allowed. Raises RuntimeError with the mend when it is not."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if not missing:
        return
    packages = sorted({PACKAGES[program] for program in missing})
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"{', '.join(missing)} not found. Install: sudo {' '.join(command)}")
    with console.status(f"Installing {', '.join(packages)}"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        if run_tool(command, timeout_s=600, env=environment).returncode != 0:
            run_tool(["apt-get", "update", "--quiet"], timeout_s=300, env=environment)
            done = run_tool(command, timeout_s=600, env=environment)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-300:]}")
