"""Which programs run over a test's files: an encoder that outlived its worker is one of them."""

from __future__ import annotations

from pathlib import Path

import psutil


def programs_over(folder: Path) -> list[list[str]]:
    """Command lines of all processes that were given something below `folder`, or work in it."""
    return [process.info["cmdline"] for process in processes_over(folder)]


def processes_over(folder: Path) -> list[psutil.Process]:
    """Those processes: an encoder's files are always in there, and a decoder that reads a pipe has its place there."""
    found = []
    for process in psutil.process_iter(["cmdline", "status", "cwd"]):
        told = process.info["cmdline"] or []
        is_here = Path(process.info["cwd"] or "/").is_relative_to(folder) or any(str(folder) in part for part in told)
        if process.info["status"] != psutil.STATUS_ZOMBIE and is_here:
            found.append(process)
    return found
