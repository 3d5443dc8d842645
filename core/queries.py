"""Loads named SQL: a strict reader of the `.sql` file beside its one user.

A statement is a block that begins with

    -- name: content_get one
    -- What it is for, in a line or more.
    SELECT ...

where the last word says how many rows come back: `one` (at most one), `many`, `value` (a scalar) or `none`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

_HEAD = re.compile(r"^-- name: ([a-z][a-z0-9_]*) (one|many|value|none)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement, as written."""

    name: str
    shape: str
    purpose: str
    sql: str


def parse(text: str, origin: str) -> Mapping[str, Statement]:
    """Statements of `text` by name. Raises ValueError on a duplicate, an unnamed or an unexplained one."""
    found: dict[str, Statement] = {}
    blocks = re.split(r"(?m)^(?=-- name:)", text)
    if blocks and blocks[0].strip() and any(not line.startswith("--") for line in blocks[0].strip().splitlines()):
        raise ValueError(f"{origin}: SQL before the first `-- name:`")
    for block in blocks[1:]:
        lines = block.strip().splitlines()
        head = _HEAD.match(lines[0])
        if head is None:
            raise ValueError(f"{origin}: bad header: {lines[0]}")
        name, shape = head.groups()
        end = next((i for i, line in enumerate(lines[1:], 1) if not line.startswith("--")), len(lines))
        purpose = " ".join(line.removeprefix("--").strip() for line in lines[1:end])
        sql = "\n".join(lines[end:]).strip().removesuffix(";")
        if name in found:
            raise ValueError(f"{origin}: {name} is there twice")
        if not purpose or not sql:
            raise ValueError(f"{origin}: {name} lacks a purpose or a body")
        found[name] = Statement(name, shape, purpose, sql)
    return MappingProxyType(found)


def load(package: str, filename: str) -> Mapping[str, Statement]:
    """The statements of `filename` inside `package`, by name."""
    return parse(files(package).joinpath(filename).read_text(encoding="utf-8"), f"{package}/{filename}")
