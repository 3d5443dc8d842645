"""Links that turn mail off, without signing in."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.connections import Row
from core.database import dedicated
from core.errors import Refusal
from core.keys import Key, KeyRing
from edge.unsubscribing import PATH, Unsubscribing
from tests.edge.api.conftest import RING, House, refused

LINKS = Unsubscribing(RING)
ADA = UUID(int=7)


async def preferences(house: House) -> list[Row]:
    connection = await dedicated(house.cast.admin_url)
    try:
        return await connection.fetch(
            "SELECT user_id, marketing_emails AS m, product_updates AS p, security_alerts AS s FROM email_preferences ORDER BY user_id"
        )
    finally:
        await connection.close()


async def test_one_click_turns_off_that_kind_for_that_person_however_often(house: House) -> None:
    link = f"{PATH}?token={LINKS.token(house.cast.vera, 'product')}"
    for _ in range(2):
        answer = await house.client.post(link, data={"List-Unsubscribe": "One-Click"})
        assert answer.status == 200
        assert [tuple(row) for row in await preferences(house)] == [(house.cast.vera, False, False, True)]
    await house.cast.change("UPDATE email_preferences SET marketing_emails = true, product_updates = true")
    assert (await house.client.post(f"{PATH}?token={LINKS.token(house.cast.vera, 'marketing')}")).status == 200
    assert [tuple(row) for row in await preferences(house)] == [(house.cast.vera, False, True, True)]
    assert (await house.client.post(f"{PATH}?token={LINKS.token(house.cast.vera, 'security')}")).status == 200
    assert [tuple(row) for row in await preferences(house)] == [(house.cast.vera, False, True, False)]


async def test_a_link_that_is_only_opened_asks_and_changes_nothing(house: House) -> None:
    answer = await house.client.get(f"{PATH}?token={LINKS.token(house.cast.vera, 'marketing')}")
    text = await answer.text()
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert "newsletters" in text
    assert 'method="post"' in text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert await preferences(house) == []


async def test_who_is_gone_is_answered_like_anybody(house: House) -> None:
    assert (await house.client.post(f"{PATH}?token={LINKS.token(uuid4(), 'marketing')}")).status == 200
    assert await preferences(house) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["", "x", "a" * 4_000, "é", LINKS.token(ADA, "marketing")[:-1]])
async def test_another_link_is_refused_and_changes_nothing(house: House, method: str, token: str) -> None:
    answer = await house.client.request(method, PATH, params={"token": token})
    await refused(answer, 400, "PS910")
    assert await preferences(house) == []


def test_a_link_outlives_a_turn_of_the_key_ring_and_not_the_end_of_its_key() -> None:
    token = LINKS.token(ADA, "product")
    fresh = Key("k2", b"2" * 48)
    assert Unsubscribing(KeyRing((*RING.keys, fresh))).read(token) == (ADA, "product")
    with pytest.raises(Refusal):
        Unsubscribing(KeyRing((fresh,))).read(token)


@given(st.text(max_size=300), st.integers(0, 200))
def test_no_text_and_no_changed_token_is_read(text: str, place: int) -> None:
    token = LINKS.token(ADA, "marketing")
    changed = (
        token[: place % len(token)]
        + ("A" if token[place % len(token)] != "A" else "B")
        + token[place % len(token) + 1 :]
    )
    for wrong in (text, changed):
        try:
            assert LINKS.read(wrong) == (ADA, "marketing"), "the last letter of base64 has bits that say nothing"
            assert wrong[:-1] == token[:-1]
        except Refusal as refusal:
            assert refusal.code.code == "PS910"
