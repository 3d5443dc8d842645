"""The playback token says what it was given, to the letter, to whoever holds the key, until its end."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BAD_PLAYBACK_TOKEN, PLAYBACK_EXPIRED, Refusal
from core.keys import Key, KeyRing, parse_ring
from edge.tokens.grant import Claims, Grants, device_mark

RING = KeyRing((Key("k1", b"1" * 32), Key("k2", b"2" * 32)))
NOW = 1_800_000_000

claims = st.builds(
    Claims,
    session_id=st.uuids(),
    tenant_id=st.uuids(),
    content_id=st.uuids(),
    user_id=st.none() | st.uuids().filter(lambda u: u.int),
    device=st.binary(min_size=8, max_size=8),
    expires_at=st.integers(NOW + 300, NOW + 86_400),
    first_use_by=st.just(NOW + 300),
    duration_ms=st.integers(0, 2**32 - 1),
    max_height=st.none() | st.integers(1, 4320),
    country=st.none() | st.from_regex("[A-Z][A-Z0-9]", fullmatch=True),
)


def a_token(**changes: object) -> tuple[str, Claims]:
    facts: dict[str, object] = {
        "session_id": uuid4(), "tenant_id": uuid4(), "content_id": uuid4(), "user_id": uuid4(), "device": device_mark("tv"),
        "expires_at": NOW + 3600, "first_use_by": NOW + 300, "duration_ms": 60_000,
    }  # fmt: skip
    said = Claims(**{**facts, **changes})  # type: ignore[arg-type]
    return Grants(RING).issue(said), said


@given(claims)
def test_a_token_says_what_it_was_given(said: Claims) -> None:
    token = Grants(RING).issue(said)
    assert Grants(RING).verify(token, NOW) == said
    assert token.isascii()
    assert "/" not in token


def test_every_changed_character_is_refused() -> None:
    token, _ = a_token()
    grants = Grants(RING)
    for at in range(len(token)):
        for other in "AzZ_-.0":
            if other != token[at]:
                with pytest.raises(Refusal) as refused:
                    grants.verify(token[:at] + other + token[at + 1 :], NOW)
                assert refused.value.code is BAD_PLAYBACK_TOKEN


@pytest.mark.parametrize("suffix", ["=", "==", "===", ".", "A", " ", "\n", "\x00", "é"])
def test_a_token_with_something_added_is_refused(suffix: str) -> None:
    token, _ = a_token()
    with pytest.raises(Refusal) as refused:
        Grants(RING).verify(token + suffix, NOW)
    assert refused.value.code is BAD_PLAYBACK_TOKEN


@given(st.text(max_size=500))
def test_any_text_is_refused_and_never_fails(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        Grants(RING).verify(text, NOW)
    assert refused.value.code is BAD_PLAYBACK_TOKEN


@pytest.mark.rule("streaming-094")
def test_a_token_past_its_end_is_refused_as_expired() -> None:
    token, said = a_token()
    Grants(RING).verify(token, said.expires_at)
    with pytest.raises(Refusal) as refused:
        Grants(RING).verify(token, said.expires_at + 6)
    assert refused.value.code is PLAYBACK_EXPIRED


def test_a_token_of_a_clock_a_little_ahead_is_taken() -> None:
    token, said = a_token(first_use_by=NOW + 304)
    assert Grants(RING).verify(token, NOW - 4) == said


def test_keys_rotate_add_sign_retire() -> None:
    old, new = RING.keys
    signed_by_old, said = (*a_token_of(KeyRing((old,))),)
    assert Grants(RING).verify(signed_by_old, NOW) == said
    assert a_token_of(RING)[0].startswith("k2.")
    with pytest.raises(Refusal):
        Grants(KeyRing((new,))).verify(signed_by_old, NOW)


def a_token_of(ring: KeyRing) -> tuple[str, Claims]:
    said = a_token()[1]
    return Grants(ring).issue(said), said


def test_a_token_of_another_purpose_is_refused() -> None:
    from itsdangerous import Signer

    token, _ = a_token()
    value = token.rpartition(".")[0]
    forged = Signer(
        RING.newest.secret, salt=b"something else", key_derivation="hmac", digest_method=__import__("hashlib").sha256
    )
    with pytest.raises(Refusal):
        Grants(RING).verify(f"{value}.{forged.get_signature(value).decode()}", NOW)


def test_a_token_whose_first_use_comes_after_its_end_is_not_made() -> None:
    with pytest.raises(ValueError, match="first use"):
        a_token(expires_at=NOW, first_use_by=NOW + 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("k1:short", "shorter"),
        ("noid", "id:secret"),
        ("K1:" + "x" * 32, "id"),
        (f"k1:{'x' * 32},k1:{'y' * 32}", "twice"),
        ("", "id:secret"),
    ],
)
def test_a_bad_key_ring_is_refused_without_its_secret(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        parse_ring(text)
    assert "xxxx" not in str(refused.value)


def test_ids_in_claims_are_uuids() -> None:
    token, _ = a_token(user_id=None)
    said = Grants(RING).verify(token, NOW)
    assert said.user_id is None
    assert isinstance(said.content_id, UUID)
