"""Builds the pages in web/ when they are missing or older than their sources, with Node from the machine or from a wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from rich.console import Console

from core.process import run_tool
from core.settings import ROOT
from edge.cli.environments import last_words, make
from edge.local.fault import ServiceFault

WEB = ROOT / "web"
NODE_VENV = ROOT / ".node"
LEAST_NODE = (20, 19)
BUILD_TIMEOUT_S = 600


def ensure_pages(console: Console) -> None:
    """Builds web/dist if needed. Raises ServiceFault with the tool's last words when that fails."""
    stamp = WEB / "dist" / ".stamp"
    wanted = _fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    with console.status("Building the pages (once)"):
        environment = node_environment()
        _run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], environment)
        _run(["npm", "run", "build", "--silent"], environment)
        if not (WEB / "dist" / "index.html").exists():
            raise ServiceFault("The page build", "made no index.html", "Run `npm run build` in web/ to see why.")
        stamp.write_text(wanted)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        parts = path.relative_to(WEB).parts
        if parts[0] not in ("node_modules", "dist", "tests") and path.is_file():
            digest.update("/".join(parts).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def node_environment() -> dict[str, str]:
    """An environment whose PATH has a Node new enough for the build: the machine's, else one from PyPI."""
    environment = dict(os.environ)
    if not _is_new_enough("node", environment):
        environment["PATH"] = f"{_node_from_wheel()}{os.pathsep}{environment.get('PATH', '')}"
    return environment


def _is_new_enough(node: str, environment: dict[str, str]) -> bool:
    found = shutil.which(node, path=environment.get("PATH"))
    if found is None or shutil.which("npm", path=environment.get("PATH")) is None:
        return False
    version = run_tool([found, "--version"], timeout_s=20).stdout.strip().removeprefix("v").split(".")
    return len(version) > 1 and version[0].isdigit() and (int(version[0]), int(version[1])) >= LEAST_NODE


def _node_from_wheel() -> Path:
    """The bin folder of a Node installed from its locked wheel, in an environment of its own."""
    if not (NODE_VENV / "bin" / "npm").exists():
        make(NODE_VENV, ROOT / "requirements-node.lock")
    return NODE_VENV / "bin"


def _run(argv: list[str], environment: dict[str, str]) -> None:
    program = shutil.which(argv[0], path=environment.get("PATH")) or argv[0]
    done = run_tool([program, *argv[1:]], timeout_s=BUILD_TIMEOUT_S, env=environment, cwd=WEB)
    if done.returncode != 0:
        raise ServiceFault(
            "The page build",
            f"stopped at `{' '.join(argv[:3])}`:\n{last_words(done)}",
            "It needs the npm and PyPI registries once.",
        )
