"""The Prefer header: what a client would like, in PostgREST's words.

Decides which preferences are known and whether one that is not may be passed over. Knows no table and no verb.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from core.errors import BAD_REQUEST, Fault, Refusal

Count = Literal["exact", "planned", "estimated"]
Return = Literal["representation", "minimal", "headers-only"]

_KNOWN: Mapping[str, frozenset[str]] = {
    "count": frozenset({"exact", "planned", "estimated"}),
    "handling": frozenset({"strict", "lenient"}),
    "return": frozenset({"representation", "minimal", "headers-only"}),
    "resolution": frozenset({"merge-duplicates", "ignore-duplicates"}),
    "missing": frozenset({"default", "null"}),
    "tx": frozenset({"commit", "rollback"}),
    # The server's own; it gives no other.
    "timezone": frozenset({"utc"}),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """The known preferences by name; of one given twice the first counts."""

    known: Mapping[str, str]

    @property
    def count(self) -> Count | None:
        """How the rows that match are to be counted."""
        return cast("Count | None", self.known.get("count"))

    @property
    def returns(self) -> Return:
        """What a write is answered with."""
        return cast("Return", self.known.get("return", "minimal"))

    @property
    def max_affected(self) -> int | None:
        """How many rows a write may touch."""
        return int(self.known["max-affected"]) if "max-affected" in self.known else None

    def applied(self, *names: str) -> tuple[str, ...]:
        """Those of `names` that were wished for, for Preference-Applied."""
        return tuple(f"{name}={self.known[name]}" for name in names if name in self.known)


def parse_prefer(header: str) -> Wishes:
    """All Prefer headers, joined by commas. Raises Refusal BAD_REQUEST in strict handling when one is not known."""
    known: dict[str, str] = {}
    invalid: list[str] = []
    for part in header.split(","):
        name, _, value = (word.strip().lower() for word in part.partition("="))
        if not name:
            continue
        is_limit = name == "max-affected" and value.isascii() and value.isdecimal() and len(value) <= 18
        if is_limit or value in _KNOWN.get(name, ()):
            known.setdefault(name, value)
        else:
            invalid.append(part.strip()[:60])
    if invalid and known.get("handling") == "strict":
        why, named = "not every preference can be followed", f"Invalid: {', '.join(invalid)}"
        raise Refusal(BAD_REQUEST, f"Prefer: {why}.", details=named, faults=(Fault("Prefer", why),))
    if known.get("handling") != "strict":
        known.pop("max-affected", None)  # as in PostgREST: neither heeded nor said to be
    return Wishes(known)
