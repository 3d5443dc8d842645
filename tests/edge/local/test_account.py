"""PostgreSQL's files are its account's, also when it is changing them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.local.account import RunAs


def test_files_that_vanish_meanwhile_are_nobody_s_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends of a server that was killed end a moment after it, and take their temporary files with them."""
    kept, owned = {tmp_path}, set[Path]()
    for name in ("base/1", "base/pgsql_tmp/gone", "global/2"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        kept |= {path.parent} | ({path} if path.name != "gone" else set())
    kept.add(tmp_path / "base")
    chown = os.chown

    def late(path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        if path.name == "gone":
            path.unlink()
        chown(path, uid, gid, follow_symlinks=follow_symlinks)
        owned.add(path)

    monkeypatch.setattr(os, "chown", late)
    RunAs(owner=(os.getuid(), os.getgid())).own(tmp_path)
    assert owned == kept
