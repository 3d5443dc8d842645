"""What is sealed is opened by its ring and for its row, and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.sealing import Sealer, Unsealable
from core.keys import Key, KeyRing

OLD, NEW = Key("old", b"o" * 32), Key("new", b"n" * 32)
text = st.text(max_size=200).filter(lambda value: not any(0xD800 <= ord(letter) < 0xE000 for letter in value))


@given(text, text)
def test_what_is_sealed_is_opened_for_the_same_row(plain: str, row: str) -> None:
    sealer = Sealer(KeyRing((NEW,)))
    sealed = sealer.seal(plain, bound_to=row)
    assert sealer.open(sealed, bound_to=row) == plain
    assert sealer.seal(plain, bound_to=row) != sealed
    with pytest.raises(Unsealable):
        sealer.open(sealed, bound_to=row + "x")


def test_a_ring_opens_what_its_older_keys_sealed_and_seals_with_the_newest() -> None:
    sealed = Sealer(KeyRing((OLD,))).seal("secret", bound_to="row")
    both = Sealer(KeyRing((OLD, NEW)))
    assert both.open(sealed, bound_to="row") == "secret"
    assert both.seal("secret", bound_to="row").startswith("new.")
    with pytest.raises(Unsealable, match="not in the ring"):
        Sealer(KeyRing((NEW,))).open(sealed, bound_to="row")


def test_another_secret_under_the_same_id_opens_nothing() -> None:
    sealed = Sealer(KeyRing((OLD,))).seal("secret", bound_to="row")
    with pytest.raises(Unsealable):
        Sealer(KeyRing((Key("old", b"x" * 32),))).open(sealed, bound_to="row")


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_single_changed_byte_is_found_out(place: int, change: int) -> None:
    sealer = Sealer(KeyRing((NEW,)))
    sealed = sealer.seal("a secret of some length", bound_to="row")
    place = 4 + place % (len(sealed) - 4)
    altered = sealed[:place] + chr((ord(sealed[place]) + change) % 256) + sealed[place + 1 :]
    if altered != sealed:
        with pytest.raises(Unsealable):
            sealer.open(altered, bound_to="row")


def test_another_text_that_decodes_to_the_same_bytes_is_found_out() -> None:
    """The other alphabet's letters, letters of none, bits past the end: base64 decoders look over them."""
    sealer = Sealer(KeyRing((NEW,)))
    sealed = next(
        text for text in iter(lambda: sealer.seal("of 37 all", bound_to="row"), "") if {"-", "_"} <= set(text)
    )
    assert sealer.open(sealed, bound_to="row") == "of 37 all"
    last = sealed[-3:]
    assert last[0] in "AQgw"
    assert last[1:] == "=="
    beside = f"{sealed[:-3]}{chr(ord(last[0]) + 1)}=="
    for altered in (
        sealed.replace("-", "+"),
        sealed.replace("_", "/"),
        f"{sealed[:9]}*{sealed[9:]}",
        f"{sealed}\n",
        beside,
    ):
        with pytest.raises(Unsealable):
            sealer.open(altered, bound_to="row")


@pytest.mark.parametrize("sealed", ["", "new", "new.", "new.!!!", "new.AAAA", ".", "\u00e4.AAAA", "other.AAAA"])
def test_what_was_never_sealed_is_refused(sealed: str) -> None:
    with pytest.raises(Unsealable):
        Sealer(KeyRing((NEW,))).open(sealed, bound_to="row")
