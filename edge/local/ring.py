"""The key ring of this installation on disk, and the order in which it may change without refusing a valid token.

    add      a new key is known everywhere before it signs anything
    sign     it signs; what older keys signed goes on verifying
    retire   an older key goes, once nothing it signed is alive any more

The running processes read the ring when they are renewed (SIGHUP); until then they know what `run/keys` says. Nothing here
shows a secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from core import keys
from core.keys import Key, KeyRing
from edge.local.fault import ServiceFault
from edge.local.installation import is_running, open_secrets
from edge.local.secrets import SecretFile, new_key

TOKEN_LIFE_S = 24 * 3600
"""No token lives longer; those of the API keys, which do, are named when a key is retired."""

_RENEW = "Renew the running processes first: kill -HUP $(cat {data}/run/pid)"


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key as an operator sees it. Unix seconds; `added_at` None for one older than this bookkeeping."""

    id: str
    added_at: float | None
    signs: bool
    is_known: bool
    """Every running web process knows it; true as well when nothing runs."""
    rests_at: float | None = None
    """When the last token it signed will have ended; None while it signs, or when it never did."""


class RingFile:
    """The ring in `data`/secrets.json."""

    def __init__(self, data: Path) -> None:
        """Raises ServiceFault when there is no installation."""
        if not (data / "secrets.json").exists():
            raise ServiceFault("Penstock", f"there is no installation in {data}", "Start it once: ./penstock up")
        self._data = data
        self._secrets: SecretFile = open_secrets(data)
        self._ring = keys.parse_ring(self._secrets.get("keys"))
        self._times: dict[str, dict[str, float]] = orjson.loads(self._secrets.find("key_times") or "{}")

    def states(self) -> list[KeyState]:
        """Every key, oldest first."""
        running = self._running()
        return [
            KeyState(
                key.id,
                self._times.get(key.id, {}).get("added"),
                key is self._ring.newest,
                running is None or key.id in running,
                self._rests_at(key.id),
            )
            for key in self._ring.keys
        ]

    def add(self, key_id: str | None, now: float) -> str:
        """A new key that verifies and does not sign yet; its id. Raises ServiceFault."""
        number = 1 + max(
            (int(key.id[1:]) for key in self._ring.keys if re.fullmatch(r"k[0-9]{1,6}", key.id)), default=0
        )
        wanted = key_id or f"k{number}"
        if self._ring.get(wanted) is not None:
            raise ServiceFault("Penstock", f"has a key {wanted} already", "Choose another id, or none.")
        try:
            fresh = keys.parse_ring(new_key(wanted)).newest
        except ValueError as error:
            raise ServiceFault("Penstock", str(error), "Leave the id out and one is chosen.") from error
        # Before the last: the last one signs.
        self._store((*self._ring.keys[:-1], fresh, self._ring.newest))
        self._note(wanted, "added", now)
        return wanted

    def sign(self, key_id: str, now: float) -> None:
        """Makes `key_id` the one that signs. Raises ServiceFault when a running process does not know it."""
        key = self._known(key_id)
        if key is self._ring.newest:
            raise ServiceFault("Penstock", f"signs with {key_id} already", "Nothing to do.")
        running = self._running()
        if running is not None and key_id not in running:
            raise ServiceFault(
                "Penstock",
                f"would sign with {key_id}, which its running processes do not know yet",
                _RENEW.format(data=self._data),
            )
        before = self._ring.newest.id
        self._store((*(other for other in self._ring.keys if other is not key), key))
        self._note(before, "signed_until", now)

    def retire(self, key_id: str, now: float, *, at_once: bool = False) -> None:
        """Forgets a key. Raises ServiceFault while it signs, or, unless `at_once`, while what it signed is alive."""
        key = self._known(key_id)
        if key is self._ring.newest:
            raise ServiceFault("Penstock", f"signs with {key_id}", "Let another one sign first: penstock keys sign ID.")
        running = self._running()
        if running is not None and running[-1] == key_id:
            raise ServiceFault(
                "Penstock", f"has processes that still sign with {key_id}", _RENEW.format(data=self._data)
            )
        rests_at = self._rests_at(key_id)
        if rests_at is not None and rests_at > now and not at_once:
            raise ServiceFault(
                "Penstock",
                f"has tokens signed with {key_id} that live for up to {(rests_at - now) / 3600:.1f} hours more",
                "Wait, or refuse them now with --now (a leaked key).",
            )
        self._store(tuple(other for other in self._ring.keys if other is not key))
        self._times.pop(key_id, None)
        self._save_times()

    def _known(self, key_id: str) -> Key:
        key = self._ring.get(key_id)
        if key is None:
            known = ", ".join(other.id for other in self._ring.keys)
            raise ServiceFault("Penstock", f"has no key {key_id}", f"It has {known}.")
        return key

    def _rests_at(self, key_id: str) -> float | None:
        signed_until = self._times.get(key_id, {}).get("signed_until")
        if signed_until is None or key_id == self._ring.newest.id:
            return None
        running = self._running()
        if running is not None:
            # The processes went on signing with it until they were renewed.
            signed_until = max(signed_until, (self._data / "run" / "keys").stat().st_mtime)
        return signed_until + TOKEN_LIFE_S

    def _running(self) -> Sequence[str] | None:
        """The ids that every running process knows, the signing one last; None when nothing runs."""
        path = self._data / "run" / "keys"
        if not is_running(self._data) or not path.exists():
            return None
        return path.read_text().split()

    def _store(self, ring: tuple[Key, ...]) -> None:
        self._ring = KeyRing(ring)
        self._secrets.set("keys", ",".join(f"{key.id}:{key.secret.decode()}" for key in ring))

    def _note(self, key_id: str, what: str, now: float) -> None:
        self._times.setdefault(key_id, {})[what] = now
        self._save_times()

    def _save_times(self) -> None:
        self._secrets.set("key_times", orjson.dumps(self._times).decode())
