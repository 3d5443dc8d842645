"""The key ring on disk: every order of add, sign and retire that is allowed keeps each valid token valid."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.keys import KeyRing, parse_ring
from edge.local.fault import ServiceFault
from edge.local.installation import open_secrets
from edge.local.ring import TOKEN_LIFE_S, RingFile

NOW = 1_800_000_000.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    open_secrets(tmp_path).get("keys")
    return tmp_path


def ring_of(data: Path) -> KeyRing:
    return parse_ring(open_secrets(data).get("keys"))


def ids(data: Path) -> list[str]:
    return [key.id for key in ring_of(data).keys]


@contextmanager
def running_with(data: Path, *known: str) -> Iterator[None]:
    """As if a supervisor held the folder, its processes knowing these keys."""
    (data / "run").mkdir(exist_ok=True)
    (data / "run" / "keys").write_text("\n".join(known) + "\n")
    os.utime(data / "run" / "keys", (NOW, NOW))
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_new_key_does_not_sign_before_it_is_told_to(data: Path) -> None:
    old = ring_of(data).newest
    assert RingFile(data).add(None, NOW) == "k2"
    assert ids(data) == ["k2", "k1"]
    assert ring_of(data).newest == old
    RingFile(data).sign("k2", NOW)
    assert ids(data) == ["k1", "k2"]
    assert old in ring_of(data).keys
    RingFile(data).retire("k1", NOW + TOKEN_LIFE_S)
    assert ids(data) == ["k2"]


def test_a_key_is_not_retired_while_what_it_signed_is_alive(data: Path) -> None:
    RingFile(data).add("new", NOW)
    RingFile(data).sign("new", NOW)
    with pytest.raises(ServiceFault, match=r"24\.0 hours"):
        RingFile(data).retire("k1", NOW)
    with pytest.raises(ServiceFault):
        RingFile(data).retire("k1", NOW + TOKEN_LIFE_S - 1)
    RingFile(data).retire("k1", NOW + 1, at_once=True)
    assert ids(data) == ["new"]


def test_the_key_that_signs_is_not_retired(data: Path) -> None:
    with pytest.raises(ServiceFault, match="signs with k1"):
        RingFile(data).retire("k1", NOW, at_once=True)


def test_running_processes_are_not_outrun(data: Path) -> None:
    with running_with(data, "k1"):
        RingFile(data).add("k2", NOW)
        with pytest.raises(ServiceFault, match="do not know yet"):
            RingFile(data).sign("k2", NOW)
    with running_with(data, "k2", "k1"):
        RingFile(data).sign("k2", NOW - 3600)
        with pytest.raises(ServiceFault, match="still sign with k1"):
            RingFile(data).retire("k1", NOW + TOKEN_LIFE_S, at_once=True)
    with running_with(data, "k1", "k2"):
        # The hour between `sign` and the renewal counts as well.
        with pytest.raises(ServiceFault, match="hours more"):
            RingFile(data).retire("k1", NOW - 1800 + TOKEN_LIFE_S)
        RingFile(data).retire("k1", NOW + TOKEN_LIFE_S)


@pytest.mark.parametrize("bad", ["", "UPPER", "way-too-long", "ab,cd:ef", "k1"])
def test_a_bad_or_taken_id_changes_nothing(data: Path, bad: str) -> None:
    before = (data / "secrets.json").read_bytes()
    if bad:
        with pytest.raises(ServiceFault):
            RingFile(data).add(bad, NOW)
    with pytest.raises(ServiceFault):
        RingFile(data).sign("nosuch", NOW)
    assert (data / "secrets.json").read_bytes() == before


def test_what_is_shown_holds_no_secret(data: Path) -> None:
    RingFile(data).add(None, NOW)
    shown = repr(RingFile(data).states())
    assert all(key.secret.decode() not in shown for key in ring_of(data).keys)


def test_no_installation_is_said_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(ServiceFault, match="no installation"):
        RingFile(tmp_path)
    assert list(tmp_path.iterdir()) == []
