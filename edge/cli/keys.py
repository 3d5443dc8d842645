"""`penstock keys`: what signs this installation's tokens, and changing it without refusing anybody."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.variables import SettingsError
from edge.cli.up import settings_for
from edge.local.installation import is_running
from edge.local.ring import KeyState, RingFile
from edge.settings import Settings


def run_list(*, data: Path | None) -> int:
    """Prints ids, ages and uses."""
    settings = settings_for(port=None, data=data)
    now = time.time()
    table = Table(box=None, padding=(0, 3, 0, 0))
    for title in ("key", "age", "use"):
        table.add_column(title)
    if settings.secret_keys is not None:
        for key in settings.secret_keys.keys:
            table.add_row(key.id, "", "signs" if key is settings.secret_keys.newest else "verifies")
        Console().print(table, "\nThe ring is the one in PENSTOCK_SECRET_KEYS.")
        return 0
    for state in RingFile(settings.data).states():
        age = "" if state.added_at is None else _span(now - state.added_at)
        table.add_row(state.id, age, _use(state, now))
    Console().print(table)
    return 0


def run_add(key_id: str | None, *, data: Path | None) -> int:
    """Adds a key."""
    settings = _with_ring_file(data)
    added = RingFile(settings.data).add(key_id, time.time())
    _say(settings, f"Added {added}: it verifies, and does not sign yet.", f"penstock keys sign {added}")
    return 0


def run_sign(key_id: str, *, data: Path | None) -> int:
    """Lets a key sign."""
    settings = _with_ring_file(data)
    RingFile(settings.data).sign(key_id, time.time())
    _say(settings, f"{key_id} signs.", "a day later: penstock keys retire of the one before")
    return 0


def run_retire(key_id: str, *, at_once: bool, data: Path | None) -> int:
    """Forgets a key."""
    settings = _with_ring_file(data)
    RingFile(settings.data).retire(key_id, time.time(), at_once=at_once)
    _say(
        settings,
        f"{key_id} is gone. What it signed is refused from the renewal on, API keys handed to other programs among it.",
        None,
    )
    return 0


def _with_ring_file(data: Path | None) -> Settings:
    settings = settings_for(port=None, data=data)
    if settings.secret_keys is not None:
        raise SettingsError(
            "PENSTOCK_SECRET_KEYS",
            "names the key ring, so it is changed there",
            "Add a new id:secret before the last on every machine and restart; then move it to the end and restart: "
            "the last one signs. Remove the old one a day later.",
        )
    return settings


def _say(settings: Settings, done: str, then: str | None) -> None:
    console = Console()
    console.print(done)
    if is_running(settings.data):
        console.print(f"Let the running processes know: kill -HUP $(cat {settings.data}/run/pid)", soft_wrap=True)
    if then is not None:
        console.print(f"Then: {then}")


def _use(state: KeyState, now: float) -> str:
    if state.signs:
        use = "signs"
    elif state.rests_at is None:
        use = "verifies"
    elif state.rests_at > now:
        use = f"verifies; may retire in {_span(state.rests_at - now)}"
    else:
        use = "verifies; may retire"
    return use if state.is_known else f"{use} (not yet known to the running processes)"


def _span(seconds: float) -> str:
    for unit, size_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
