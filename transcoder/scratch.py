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


def folder_of(scratch: Path, task_id: UUID, fence: int) -> Path:
    """Where an attempt works."""
    return scratch / str(task_id) / str(fence)


@contextmanager
def attempt_folder(scratch: Path, task_id: UUID, fence: int) -> Iterator[Path]:
    """`scratch`/{task}/{fence}, empty and locked; removed on leaving."""
    folder = folder_of(scratch, task_id, fence)
    lock = _make_locked(folder)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _make_locked(folder: Path) -> int:
    """Between the making of a folder and its lock a janitor may take it for a dead one's: then it is made again."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileNotFoundError, FileExistsError):
            continue  # it was removed between two of these steps
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), (folder / LOCK).stat()):
                return lock
        os.close(lock)


def sweep(scratch: Path) -> int:
    """Removes what dead workers left; how many folders."""
    removed = 0
    for lock_path in [attempt / LOCK for task in _listed(scratch) for attempt in _listed(task)]:
        try:
            lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
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


def _listed(folder: Path) -> list[Path]:
    """What is in `folder`; unlike glob, nothing when it goes meanwhile, as attempts' folders do all the time."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another attempt at the same task has a folder there
        folder.parent.rmdir()


def used_bytes(folder: Path) -> int:
    """Bytes of disk that everything below `folder` takes; what disappears meanwhile takes none."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(at, name)).st_blocks * 512
    return total


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written below `folder`, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free
