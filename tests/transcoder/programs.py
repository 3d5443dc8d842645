"""Which programs run over a test's files: an encoder that outlived its worker is one of them."""

from __future__ import annotations

from pathlib import Path

import psutil


def programs_over(folder: Path) -> list[list[str]]:
    """Command lines of all processes that were given something below `folder`: an encoder's files are always in there."""
    found = []
    for process_ in psutil.process_iter(["cmdline", "status"]):
        told = process_.info["cmdline"] or []
        if process_.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in part for part in told):
            found.append(told)
    return found
