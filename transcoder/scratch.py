"""Scratch folders: one for each attempt, locked while its worker lives, so that a janitor can tell the dead ones.

A lock file and not the database: the kernel drops it with the process, however that died.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

LOCK = ".lock"


@contextmanager
def attempt_folder(scratch: Path, task_id: UUID, fence: int) -> Iterator[Path]:
    """`scratch`/{task}/{fence}, empty and locked; removed on leaving."""
    folder = scratch / str(task_id) / str(fence)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def sweep(scratch: Path) -> int:
    """Removes what dead workers left; how many folders."""
    removed = 0
    for lock_path in sorted(scratch.glob(f"*/*/{LOCK}")):
        try:
            lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # its worker ended between the listing and now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            _remove(lock_path.parent)
            removed += 1
        finally:
            os.close(lock)
    return removed


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another attempt at the same task has a folder there
        folder.parent.rmdir()


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written below `folder`, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free
