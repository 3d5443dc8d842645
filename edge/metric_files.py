"""The folder in which web processes keep their counts for one another: what a process leaves behind when it is gone.

prometheus_client writes files per process and never removes those of counters. Left there, each restart adds some that every
scrape reads; deleted, what they counted would be taken back. So they are added to the files of all that are gone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

DEPARTED = "departed"
"""In a file's name, in place of a process's id."""


def fold(folder: Path, pid: int) -> None:
    """Adds what the dead process `pid` counted to what all before it did, and forgets what it was holding."""
    with _held(folder, fcntl.LOCK_EX):
        for path in folder.glob(f"*_{pid}.db"):
            kind = path.name.partition("_")[0]
            if kind != "gauge":
                _add(path, folder / f"{kind}_{DEPARTED}.db")
            path.unlink()


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """While in the block, nothing is in two files of the folder, nor in none."""
    with _held(folder, fcntl.LOCK_SH):
        yield


def _add(path: Path, to: Path) -> None:
    total = MmapedDict(str(to))  # type: ignore[no-untyped-call]
    try:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            before, _ = total.read_value(key)  # type: ignore[no-untyped-call]
            total.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    finally:
        total.close()  # type: ignore[no-untyped-call]


@contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)
