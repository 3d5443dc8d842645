"""Families, what is shared in them, and what is told to whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.domain.community.families import check_invitation, check_leaving
from core.errors import LAST_ADMIN
from tests.core.domain.town import FILM, GUEST, MARA, NOA, PIA, SERIES, STAFF, ZOE, Town

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


async def family(town: Town) -> str:
    """Mara's, with Noa in it."""
    made = await town.do(MARA, "create_family", name="The Winters")
    await town.do(MARA, "invite_to_family", family_id=made["family_id"], email="NOA@example.com")
    await town.do(NOA, "accept_family_invitation", token=await town.mailed("family_invitation"))
    return str(made["family_id"])


@pytest.mark.rule("infocus-044")
async def test_a_family_names_who_made_it_and_has_them_in_charge(town: Town) -> None:
    made = await town.do(MARA, "create_family", name="The Winters")
    (row,) = await town.see(MARA, "/families")
    assert (row["id"], row["created_by"], row["name"]) == (made["family_id"], str(MARA.user_id), "The Winters")
    assert await town.see(NOA, "/families") == []
    assert await town.see(GUEST, "/families") == []
    assert await town.refused(GUEST, "create_family", name="x") == "PS301"
    assert await town.refused(MARA, "create_family", name="") == "PS102"


@pytest.mark.rule("infocus-054")
@pytest.mark.rule("infocus-055")
async def test_an_invitation_is_accepted_by_its_secret(town: Town) -> None:
    family_id = await family(town)
    (row,) = await town.see(MARA, "/family_invitations?select=*")
    assert row["status"] == "accepted"
    assert row["accepted_at"] is not None
    assert "token_digest" not in row
    members = await town.see(NOA, f"/family_memberships?family_id=eq.{family_id}&order=joined_at,id")
    assert [(one["user_id"], one["role"]) for one in members] == [
        (str(MARA.user_id), "admin"),
        (str(NOA.user_id), "member"),
    ]
    stored = str(await town.sql("SELECT row_to_json(i)::text FROM family_invitations i"))
    assert await town.mailed("family_invitation") not in stored
    assert await town.refused(NOA, "accept_family_invitation", token=await town.mailed("family_invitation")) == "PS572"


@pytest.mark.rule("infocus-056")
async def test_an_invitation_is_declined_and_nobody_joins(town: Town) -> None:
    made = await town.do(MARA, "create_family", name="The Winters")
    await town.do(MARA, "invite_to_family", family_id=made["family_id"], email="noa@example.com")
    token = await town.mailed("family_invitation")
    assert await town.do(NOA, "decline_family_invitation", token=token) == {
        "family_id": made["family_id"],
        "status": "declined",
    }
    assert await town.refused(NOA, "accept_family_invitation", token=token) == "PS572"
    assert len(await town.sql("SELECT FROM family_memberships")) == 1
    await town.do(MARA, "invite_to_family", family_id=made["family_id"], email="noa@example.com")
    await town.do(NOA, "accept_family_invitation", token=await town.mailed("family_invitation"))


async def test_only_whom_it_was_sent_to_answers_an_invitation(town: Town) -> None:
    made = await town.do(MARA, "create_family", name="The Winters")
    await town.do(MARA, "invite_to_family", family_id=made["family_id"], email="noa@example.com")
    token = await town.mailed("family_invitation")
    for command in ("accept_family_invitation", "decline_family_invitation"):
        assert await town.refused(PIA, command, token=token) == "PS572"
        assert await town.refused(NOA, command, token=token + "x") == "PS572"
    await town.sql(
        """WITH old AS (DELETE FROM family_invitations RETURNING *)
           INSERT INTO family_invitations (family_id, email, token_digest, created_at, expires_at)
           SELECT family_id, email, token_digest, now() - interval '8 days', now() - interval '1 second' FROM old"""
    )
    assert await town.refused(NOA, "accept_family_invitation", token=token) == "PS572"


async def test_only_who_is_in_charge_asks_in(town: Town) -> None:
    family_id = await family(town)
    for viewer in (NOA, PIA, STAFF):
        assert await town.refused(viewer, "invite_to_family", family_id=family_id, email="zoe@example.com") == "PS105"
    assert await town.refused(MARA, "invite_to_family", family_id=family_id, email="noa@example.com") == "PS573"
    assert await town.refused(MARA, "invite_to_family", family_id=family_id, email="nobody") == "PS102"


@pytest.mark.parametrize(
    ("row", "address", "reason"),
    [
        (None, "a@b.c", "unknown"),
        ({"email": "x@b.c", "status": "pending", "expires_at": LATER}, "a@b.c", "unknown"),
        ({"email": "a@b.c", "status": "pending", "expires_at": LATER}, None, "unknown"),
        ({"email": "a@b.c", "status": "declined", "expires_at": LATER}, "a@b.c", "answered"),
        ({"email": "a@b.c", "status": "pending", "expires_at": NOW}, "a@b.c", "expired"),
        ({"email": "A@b.c", "status": "pending", "expires_at": LATER}, "a@B.c", None),
    ],
)
def test_when_an_invitation_is_open(row: Any, address: str | None, reason: str | None) -> None:
    refusal = check_invitation(row, address, NOW)
    assert (refusal.data["reason"] if refusal else None) == reason


def test_the_last_in_charge_does_not_leave_the_others_alone() -> None:
    refusal = check_leaving("admin", 1, 2)
    assert refusal is not None
    assert refusal.code is LAST_ADMIN
    for place in (("admin", 2, 3), ("admin", 1, 1), ("member", 1, 2)):
        assert check_leaving(*place) is None


async def test_people_leave_and_are_taken_out(town: Town) -> None:
    family_id = await family(town)
    assert await town.refused(NOA, "leave_family", family_id=family_id, user_id=str(MARA.user_id)) == "PS105"
    assert await town.refused(PIA, "leave_family", family_id=family_id) == "PS105"
    assert await town.refused(MARA, "leave_family", family_id=family_id) == "PS574"
    await town.do(MARA, "leave_family", family_id=family_id, user_id=str(NOA.user_id))
    assert await town.see(NOA, "/families") == []
    await town.do(MARA, "leave_family", family_id=family_id)
    assert await town.sql("SELECT FROM families") == []


@pytest.mark.rule("infocus-077")
async def test_a_family_is_told_what_its_people_do(town: Town) -> None:
    await family(town)
    assert await town.told(MARA, "family_activity") == ["Noa has joined The Winters"]
    await town.add(NOA, "watchlist_entries", media_item_id=FILM, status="completed", rating=9)
    await town.add(NOA, "watchlist_entries", media_item_id=SERIES)
    assert await town.told(MARA, "family_activity") == [
        "Noa has joined The Winters",
        "Noa has watched Winter Light",
        "Noa wants to watch The Circle",
    ]
    assert await town.told(NOA, "family_activity") == []
    assert await town.told(PIA, "family_activity") == []


async def test_a_watchlist_is_seen_by_its_owner_and_their_family(town: Town) -> None:
    await family(town)
    entry = await town.add(NOA, "watchlist_entries", media_item_id=FILM)
    for viewer, sees in ((NOA, 1), (MARA, 1), (PIA, 0), (STAFF, 0), (GUEST, 0)):
        assert len(await town.see(viewer, "/watchlist_entries")) == sees, viewer
    await town.ask(MARA, "PATCH", f"/watchlist_entries?id=eq.{entry['id']}", {"rating": 1})
    (row,) = await town.see(NOA, "/watchlist_entries")
    assert row["rating"] is None
    assert await town.cannot_add(NOA, "watchlist_entries", media_item_id=SERIES, rating=11) == 400
    assert await town.cannot_add(GUEST, "watchlist_entries", media_item_id=SERIES) == 401


@pytest.mark.rule("infocus-078")
async def test_a_recommendation_is_told_and_answered_by_whom_it_was_made_to(town: Town) -> None:
    made = await town.add(
        MARA, "recommendations", media_item_id=FILM, recommended_to=str(NOA.user_id), message="Bring tissues"
    )
    assert await town.told(NOA, "recommendation") == ["Mara recommends Winter Light"]
    assert await town.told(MARA, "recommendation") == []
    path = f"/recommendations?id=eq.{made['id']}"
    await town.ask(MARA, "PATCH", path, {"status": "accepted"})
    assert (await town.see(MARA, path))[0]["status"] == "pending"
    status, rows = await town.ask(NOA, "PATCH", path, {"status": "accepted"})
    assert (status, rows[0]["status"]) == (200, "accepted")
    assert (await town.ask(NOA, "PATCH", path, {"status": "rejected"}))[0] == 409
    assert await town.see(PIA, path) == []


@pytest.mark.rule("infocus-079")
async def test_a_review_stands_beside_a_rating(town: Town) -> None:
    await town.add(MARA, "watchlist_entries", media_item_id=FILM, status="completed", rating=8)
    await town.add(MARA, "media_reviews", media_item_id=FILM, title="Cold", body="A long " * 500)
    assert len((await town.see(GUEST, "/media_reviews"))[0]["body"]) == 3500
    assert (await town.see(MARA, "/watchlist_entries"))[0]["rating"] == 8
    assert await town.cannot_add(MARA, "media_reviews", media_item_id=FILM, body="Again") == 409
    await town.ask(NOA, "PATCH", "/media_reviews?body=neq.x", {"body": "Mine now"})
    assert (await town.see(NOA, "/media_reviews"))[0]["title"] == "Cold"
    assert await town.sql("SELECT FROM media_reviews WHERE body = 'Mine now'") == []


@pytest.mark.rule("infocus-083")
async def test_a_collection_belongs_to_one_person_or_to_a_family(town: Town) -> None:
    family_id = await family(town)
    own = await town.add(MARA, "collections", title="For November")
    assert own["family_id"] is None
    shared = await town.add(MARA, "collections", title="For all of us", family_id=family_id)
    public = await town.add(MARA, "collections", title="For everybody", is_public=True)
    for made in (own, shared, public):
        await town.add(MARA, "collection_items", collection_id=made["id"], media_item_id=FILM)
    for viewer, seen in ((MARA, 3), (NOA, 2), (PIA, 1), (GUEST, 1)):
        assert len(await town.see(viewer, "/collections")) == seen, viewer
        assert len(await town.see(viewer, "/collection_items")) == seen, viewer
    for viewer in (NOA, PIA):
        refused = await town.cannot_add(viewer, "collection_items", collection_id=public["id"], media_item_id=SERIES)
        assert refused == 403
    assert await town.cannot_add(ZOE, "collections", title="Theirs", family_id=family_id) == 403
