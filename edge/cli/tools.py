"""The outside programs that tests drive: which are here, how the missing ones are installed, and why one cannot be.

Decides nothing about tests; `tests/needs.py` skips by what `why_missing` says, `testing.py` calls `provide` before.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rich.console import Console

from core.process import run_tool
from core.settings import ROOT
from edge.cli.environments import make
from edge.cli.pages import NODE_VENV, node_environment
from edge.local.fault import ServiceFault

NODE_FOLDER = ROOT / "tests"
INSTALL_TIMEOUT_S = 900
UPDATE_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Tool:
    """A program as Debian has it: what proves that it is here, and the packages that bring it."""

    programs: tuple[str, ...]
    packages: tuple[str, ...]
    libraries: tuple[str, ...] = ()


DEBIAN: Mapping[str, Tool] = MappingProxyType(
    {
        "chromium": Tool(("chromium",), ("chromium",)),
        "mpv": Tool(("mpv",), ("mpv",)),
        "nginx": Tool(("nginx",), ("nginx",)),
        "haproxy": Tool(("haproxy",), ("haproxy",)),
        "bubblewrap": Tool(("bwrap",), ("bubblewrap",)),
        "pgbouncer": Tool(("pgbouncer",), ("pgbouncer",)),
        # The distribution's own major version: 15 on Debian 12. Its programs lie outside PATH.
        "postgresql": Tool(("pg_lsclusters",), ("postgresql",)),
        "gstreamer": Tool(
            ("gst-launch-1.0",),
            (
                "gstreamer1.0-tools",
                "gstreamer1.0-plugins-base",
                "gstreamer1.0-plugins-good",
                "gstreamer1.0-plugins-bad",
                "gstreamer1.0-libav",
            ),
            # One library of each package: playback, adaptive HLS and HTTP, the fake sinks, the decoders.
            ("libgstplayback.so", "libgstsoup.so", "libgsthls.so", "libgstdebugutilsbad.so", "libgstlibav.so"),
        ),
    }
)
MOTO_VENV = ROOT / ".moto"
SCHEMATHESIS_VENV = ROOT / ".schemathesis"
# moto: botocore and our croniter want different versions of python-dateutil. schemathesis: an outsider, with its own hypothesis.
PYTHON: Mapping[str, tuple[Path, Path]] = MappingProxyType(
    {
        "moto": (MOTO_VENV, ROOT / "requirements-moto.lock"),
        "schemathesis": (SCHEMATHESIS_VENV, ROOT / "requirements-schemathesis.lock"),
    }
)
"""Environments of their own, each with its lock."""
NAMES = frozenset({*DEBIAN, *PYTHON, "node"})


def why_missing(name: str) -> str | None:
    """None when the tool can be used now, else what is not there. Raises KeyError for a name that is no tool."""
    if name == "node":
        return _why_no_node()
    if name in PYTHON:
        return _why_no_environment(*PYTHON[name])
    tool = DEBIAN[name]
    for program in tool.programs:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    for library in tool.libraries:
        if not any(Path(root).glob(f"*/gstreamer-1.0/{library}") for root in ("/usr/lib", "/usr/local/lib")):
            return f"{library} is not installed"
    return None


def provide(names: Iterable[str], console: Console) -> dict[str, str]:
    """Installs what is missing where that is allowed; for each tool that is still missing, why."""
    lacking = sorted(name for name in names if why_missing(name) is not None)
    reasons: dict[str, str] = {}
    from_debian = [name for name in lacking if name in DEBIAN]
    if from_debian:
        with console.status(f"Installing {', '.join(from_debian)}"):
            reasons |= _install_from_debian(from_debian)
    if "node" in lacking:
        with console.status("Installing the npm packages of the tests"):
            reasons |= _install_node()
    for name in lacking:
        if name in PYTHON:
            with console.status(f"Installing {name} for the tests"):
                reasons |= _install_environment(name, *PYTHON[name])
    return reasons


def _install_from_debian(names: list[str]) -> dict[str, str]:
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        return {name: f"{why_missing(name)}, and this is no Debian" for name in names}
    packages = [package for name in names for package in DEBIAN[name].packages]
    if os.geteuid() != 0:
        mend = f"sudo apt-get install {' '.join(packages)}"
        return {name: f"{why_missing(name)}; only root may install it: {mend}" for name in names}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = [apt_get, "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    said = _apt(install, environment, INSTALL_TIMEOUT_S)
    if said is not None:
        # No lists yet, or lists that name versions no longer on the mirror.
        _apt([apt_get, "update", "--quiet"], environment, UPDATE_TIMEOUT_S)
        said = _apt(install, environment, INSTALL_TIMEOUT_S)
    return {
        name: f"{why}; apt-get said: {said}" if said else why
        for name in names
        if (why := why_missing(name)) is not None
    }


def _apt(argv: list[str], environment: Mapping[str, str], timeout_s: int) -> str | None:
    """None when it went well, else its last words."""
    try:
        done = run_tool(argv, timeout_s=timeout_s, env=environment)
    except subprocess.TimeoutExpired:
        return f"nothing for {timeout_s} s"
    if done.returncode == 0:
        return None
    return next((line for line in reversed((done.stdout + done.stderr).splitlines()) if line.strip()), "nothing")


def _why_no_environment(venv: Path, lock: Path) -> str | None:
    stamp = venv / ".stamp"
    if not stamp.exists() or stamp.read_text() != _digest(lock):
        return f"the packages of {lock.name} are not installed in {venv.name}/"
    return None


def _install_environment(name: str, venv: Path, lock: Path) -> dict[str, str]:
    try:
        shutil.rmtree(venv, ignore_errors=True)
        make(venv, lock)
    except (ServiceFault, OSError, subprocess.TimeoutExpired) as error:
        return {name: f"{name} cannot be installed: {error}"}
    (venv / ".stamp").write_text(_digest(lock))
    return {}


def _why_no_node() -> str | None:
    if shutil.which("node", path=node_path()) is None:
        return "node is not installed"
    stamp = NODE_FOLDER / "node_modules" / ".stamp"
    if not stamp.exists() or stamp.read_text() != _lock_digest():
        return "the packages of tests/package-lock.json are not installed (npm ci in tests/)"
    return None


def node_path() -> str:
    """A PATH on which Node can be found wherever it was installed from."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), str(NODE_VENV / "bin")))


def _lock_digest() -> str:
    return _digest(NODE_FOLDER / "package-lock.json")


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _install_node() -> dict[str, str]:
    try:
        environment = node_environment()
    except (ServiceFault, subprocess.TimeoutExpired) as error:
        return {"node": f"node cannot be installed: {error}"}
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None:
        return {"node": "npm is not installed"}
    argv = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    try:
        done = run_tool(argv, timeout_s=INSTALL_TIMEOUT_S, env=environment, cwd=NODE_FOLDER)
    except subprocess.TimeoutExpired:
        return {"node": f"`npm ci` in tests/ did not end within {INSTALL_TIMEOUT_S} s"}
    if done.returncode != 0:
        last = " ".join((done.stdout + done.stderr).split())[-300:]
        return {"node": f"`npm ci` in tests/ failed: {last}"}
    (NODE_FOLDER / "node_modules" / ".stamp").write_text(_lock_digest())
    return {}
