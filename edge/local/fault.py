"""What went wrong with an embedded server, in words an operator can act on."""

from __future__ import annotations

import shutil
from pathlib import Path


class ServiceFault(Exception):  # noqa: N818 - states the fact
    """An embedded server cannot run: which, what happened, and the mend."""

    def __init__(self, service: str, problem: str, mend: str) -> None:
        super().__init__(f"{service} {problem}. {mend}")
        self.service = service
        self.problem = problem
        self.mend = mend


def explain_log(service: str, log: str, folder: Path) -> ServiceFault:
    """The likely cause of a failed start, from the end of its log."""
    if "No space left on device" in log or "could not extend" in log:
        return disk_full(service, folder)
    if ("is in use" in log and "lock file" in log) or "another postmaster" in log.lower():
        return ServiceFault(
            service, f"is already running on {folder}", "Stop the other one, or set PENSTOCK_DATA to another folder."
        )
    if "database files are incompatible" in log or "was initialized by" in log:
        return ServiceFault(
            service,
            f"cannot read {folder}: it was made by another major version",
            "Dump it with the old one and restore it, or set PENSTOCK_DATA to a new folder.",
        )
    if "Permission denied" in log:
        return ServiceFault(
            service, f"may not write in {folder}", "Give this user the folder, or set PENSTOCK_DATA to another one."
        )
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    return ServiceFault(service, f"did not start: {last.strip()}", f"Its data folder is {folder}.")


def disk_full(service: str, folder: Path) -> ServiceFault:
    """The disk under `folder` is full."""
    free_mb = shutil.disk_usage(folder if folder.exists() else folder.parent).free // 1_000_000
    return ServiceFault(
        service,
        f"has no room on the disk of {folder} ({free_mb} MB free)",
        "Free some space, or set PENSTOCK_DATA to a folder on another disk.",
    )
