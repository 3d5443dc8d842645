"""Secrets that this installation made for itself: one file, readable by its owner only, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import orjson


class SecretFile:
    """Named secrets in a JSON file, each made when first asked for."""

    def __init__(self, path: Path, make: Callable[[str], str]) -> None:
        self._path = path
        self._make = make
        self._values: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}

    def get(self, name: str) -> str:
        """The secret called `name`."""
        if name not in self._values:
            self.set(name, self._make(name))
        return self._values[name]

    def find(self, name: str) -> str | None:
        """The secret called `name`, if there is one."""
        return self._values.get(name)

    def set(self, name: str, value: str) -> None:
        """Stores `value`, durable when this returns."""
        self._values[name] = value
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(orjson.dumps(self._values, option=orjson.OPT_INDENT_2))
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(self._path)


def new_key(key_id: str) -> str:
    """A fresh `id:secret` for a key ring (core/keys.py)."""
    return f"{key_id}:{secrets.token_urlsafe(48)}"
