"""Workspaces, their members, and how people are asked in."""

from __future__ import annotations

from uuid import UUID

import pytest

from core.domain.tenancy.members import check_giving, check_staying_led
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer, service
from tests.core.domain.town import GUEST, MARA, NOA, STAFF, ZOE, Town

SERVICE = service()


async def join(town: Town, viewer: Viewer, role: str, tenant: UUID = DEFAULT_TENANT) -> None:
    async with town.shop.database.transaction(service(tenant)) as tx:
        await tx.connection.execute(
            "INSERT INTO memberships (user_id, role) VALUES ($1, $2::text::tenant_role)", viewer.user_id, role
        )


@pytest.mark.rule("edupeak-046")
async def test_a_workspace_without_a_name_is_the_default_one(town: Town) -> None:
    assert await town.refused(SERVICE, "create_workspace") == "PS501", "there is one already"
    await town.sql("UPDATE tenants SET slug = 'first', name = 'First' WHERE slug = 'default'")
    made = await town.do(SERVICE, "create_workspace")
    assert (made["name"], made["slug"]) == ("Default Workspace", "default")


async def test_only_administrators_of_the_installation_make_workspaces(town: Town) -> None:
    assert await town.refused(STAFF, "create_workspace", slug="branch") == "PS575"
    assert await town.refused(MARA, "create_workspace", slug="branch") == "PS304"
    assert await town.refused(SERVICE, "create_workspace", slug="No Slug") == "PS102"
    await town.sql("UPDATE users SET role = 'admin' WHERE id = $1", STAFF.user_id)
    made = await town.do(STAFF, "create_workspace", name="Branch", slug="branch")
    there = Viewer(UUID(made["id"]), STAFF.user_id, "staff")
    assert [row["role"] for row in await town.see(there, "/memberships")] == ["SuperAdmin"]
    assert [row["slug"] for row in await town.see(there, "/tenants")] == ["branch"]
    assert (await town.do(there, "update_workspace", name="The Branch"))["name"] == "The Branch"
    assert [row["name"] for row in await town.see(STAFF, "/tenants")] == ["Default Workspace"]


@pytest.mark.rule("edupeak-053")
@pytest.mark.rule("edupeak-055")
@pytest.mark.rule("edupeak-057")
@pytest.mark.rule("edupeak-058")
@pytest.mark.rule("edupeak-243")
async def test_somebody_known_is_asked_in_told_and_joins_as_what_was_offered(town: Town) -> None:
    made = await town.do(STAFF, "invite_member", user_id=str(MARA.user_id), role="Admin")
    assert (made["status"], made["role"], made["user_id"]) == ("Pending", "Admin", str(MARA.user_id))
    assert made["expires_at"] is not None
    (row,) = await town.sql("SELECT invited_by, length(token_digest) AS digest, user_id FROM invitations")
    assert row == {"invited_by": STAFF.user_id, "digest": 32, "user_id": MARA.user_id}
    assert await town.told(MARA, "super_admin_invitation") == ["You have been invited"]
    token = await town.mailed("invitation")
    assert await town.refused(NOA, "accept_invitation", token=token) == "PS572"
    said = await town.do(MARA, "accept_invitation", token=token)
    assert said == {"tenant_id": str(DEFAULT_TENANT), "role": "Admin", "status": "Accepted"}
    (member,) = await town.see(MARA, "/memberships")
    assert (member["user_id"], member["role"]) == (str(MARA.user_id), "Admin")
    assert await town.refused(MARA, "accept_invitation", token=token) == "PS572"
    assert await town.refused(STAFF, "invite_member", email="mara@example.com") == "PS573"


async def test_a_stranger_is_asked_in_by_address_and_answers_with_an_account(town: Town) -> None:
    made = await town.do(STAFF, "invite_member", email="New@Example.com")
    assert (made["user_id"], made["role"]) == (None, "Member")
    token = await town.mailed("invitation")
    stored = str(await town.sql("SELECT row_to_json(i)::text FROM invitations i"))
    assert token not in stored
    await town.sql("UPDATE users SET email = 'new@example.com' WHERE id = $1", ZOE.user_id)
    assert (await town.do(ZOE, "accept_invitation", token=token))["role"] == "Member"
    (row,) = await town.sql("SELECT user_id, status::text FROM invitations")
    assert row == {"user_id": ZOE.user_id, "status": "Accepted"}


async def test_an_invitation_is_declined_taken_back_replaced_or_too_old(town: Town) -> None:
    await town.do(STAFF, "invite_member", email="mara@example.com")
    first = await town.mailed("invitation")
    await town.do(STAFF, "invite_member", email="MARA@example.com", role="Admin")
    second = await town.mailed("invitation")
    assert await town.refused(MARA, "accept_invitation", token=first) == "PS572"
    assert (await town.do(MARA, "decline_invitation", token=second))["status"] == "Revoked"
    assert await town.refused(MARA, "accept_invitation", token=second) == "PS572"
    third = await town.do(STAFF, "invite_member", email="mara@example.com")
    assert await town.refused(MARA, "revoke_invitation", invitation_id=third["id"]) == "PS304"
    await town.do(STAFF, "revoke_invitation", invitation_id=third["id"])
    assert await town.refused(MARA, "accept_invitation", token=await town.mailed("invitation")) == "PS572"
    assert await town.refused(STAFF, "revoke_invitation", invitation_id=third["id"]) == "PS504"
    await town.do(STAFF, "invite_member", email="mara@example.com")
    await town.sql(
        """WITH old AS (DELETE FROM invitations WHERE status = 'Pending' RETURNING *)
           INSERT INTO invitations (email, user_id, token_digest, created_at, expires_at)
           SELECT email, user_id, token_digest, now() - interval '8 days', now() - interval '1 second' FROM old"""
    )
    assert await town.refused(MARA, "accept_invitation", token=await town.mailed("invitation")) == "PS572"
    for token in ("x", "a" * 32 + ".x", str(DEFAULT_TENANT) + ".x", DEFAULT_TENANT.hex):
        assert await town.refused(MARA, "accept_invitation", token=token) == "PS572"
    assert await town.sql("SELECT FROM memberships") == []


@pytest.mark.rule("edupeak-052")
async def test_what_is_for_administrators_is_refused_to_a_member(town: Town) -> None:
    await join(town, MARA, "Member")
    await join(town, STAFF, "Admin")
    await join(town, NOA, "Member")
    for command, asked in (
        ("invite_member", {"email": "zoe@example.com"}),
        ("set_member_role", {"user_id": str(NOA.user_id), "role": "Admin"}),
        ("set_member_role", {"user_id": str(MARA.user_id), "role": "Admin"}),
        ("remove_member", {"user_id": str(NOA.user_id)}),
        ("update_workspace", {"name": "Mine"}),
        ("set_access_policy", {"name": "x", "definition": {"effect": "allow", "resource_type": "*", "action": "*"}}),
    ):
        assert await town.refused(MARA, command, **asked) == "PS304", command
        assert await town.refused(GUEST, command, **asked) == "PS301", command
    for table, values in (
        ("roles", {"name": "x"}),
        ("tenant_settings", {"settings": {}}),
        ("white_label_settings", {}),
    ):
        assert await town.cannot_add(MARA, table, **values) == 403
    assert (await town.do(STAFF, "set_member_role", user_id=str(NOA.user_id), role="Admin"))["role"] == "Admin"
    assert [row["user_id"] for row in await town.see(MARA, "/memberships")] == [str(MARA.user_id)]
    assert len(await town.see(STAFF, "/memberships")) == 3


async def test_who_may_invite_and_appoint_gives_nothing_above_their_own(town: Town) -> None:
    """Mara is a Member whom policies allow what Admins do."""
    await join(town, MARA, "Member")
    await join(town, NOA, "Admin")
    for resource, action in (("invitations", "create"), ("memberships", "update"), ("memberships", "delete")):
        allow = {"effect": "allow", "resource_type": resource, "action": action, "roles": ["Member"]}
        await town.do(STAFF, "set_access_policy", name=f"{resource} {action}", definition=allow)
    for role in ("Admin", "SuperAdmin"):
        assert await town.refused(MARA, "invite_member", email="zoe@example.com", role=role) == "PS304"
        assert await town.refused(MARA, "set_member_role", user_id=str(MARA.user_id), role=role) == "PS304"
    assert await town.refused(MARA, "set_member_role", user_id=str(NOA.user_id), role="Member") == "PS304"
    assert await town.refused(MARA, "remove_member", user_id=str(NOA.user_id)) == "PS304"
    assert (await town.do(MARA, "invite_member", email="zoe@example.com"))["role"] == "Member"
    for table, values in (
        ("resource_ownership", {"resource_type": "memberships", "resource_id": str(MARA.user_id), "owner_id": str(MARA.user_id)}),
        ("user_roles", {"user_id": str(MARA.user_id), "role_id": str(MARA.user_id)}),
    ):  # fmt: skip
        assert await town.cannot_add(MARA, table, **values) == 403


async def test_an_invitation_leads_into_its_own_workspace_and_no_other(town: Town) -> None:
    made = await town.do(SERVICE, "create_workspace", name="Branch", slug="branch")
    there = Viewer(UUID(made["id"]), STAFF.user_id, "staff")
    invited = await town.do(there, "invite_member", email="mara@example.com", role="Admin")
    rows = await town.sql("SELECT payload -> 'variables' ->> 'token' AS token FROM outbox WHERE topic = 'mail.wanted'")
    assert rows == [], "the mail is the branch's"
    async with town.shop.database.transaction(service(there.tenant_id)) as tx:
        token = await tx.connection.fetchval(
            "SELECT payload -> 'variables' ->> 'token' FROM outbox WHERE payload ->> 'template' = 'invitation'"
        )
    assert await town.refused(STAFF, "revoke_invitation", invitation_id=invited["id"]) == "PS105"
    elsewhere = f"{DEFAULT_TENANT.hex}.{token.partition('.')[2]}"
    assert await town.refused(MARA, "accept_invitation", token=elsewhere) == "PS572"
    said = await town.do(MARA, "accept_invitation", token=token)
    assert said == {"tenant_id": made["id"], "role": "Admin", "status": "Accepted"}
    assert await town.sql("SELECT FROM memberships") == []
    member = Viewer(there.tenant_id, MARA.user_id, "authenticated")
    assert [row["role"] for row in await town.see(member, "/memberships")] == ["Admin"]


async def test_a_workspace_keeps_somebody_in_charge(town: Town) -> None:
    await join(town, STAFF, "SuperAdmin")
    await join(town, MARA, "Member")
    own = str(STAFF.user_id)
    assert await town.refused(STAFF, "set_member_role", user_id=own, role="Member") == "PS574"
    assert await town.refused(STAFF, "remove_member", user_id=own) == "PS574"
    await town.do(STAFF, "set_member_role", user_id=str(MARA.user_id), role="Admin")
    assert await town.refused(Viewer(DEFAULT_TENANT, MARA.user_id, "staff"), "remove_member", user_id=own) == "PS304"
    await town.do(STAFF, "remove_member", user_id=own)
    assert await town.refused(STAFF, "remove_member", user_id=str(NOA.user_id)) == "PS105"


def test_superadmins_are_made_by_their_like() -> None:
    for actor, is_staff, is_platform, role, may in (
        ("Admin", True, False, "SuperAdmin", False),
        (None, False, False, "SuperAdmin", False),
        ("SuperAdmin", True, False, "SuperAdmin", True),
        (None, True, True, "SuperAdmin", True),
        ("Admin", True, False, "Admin", True),
        (None, True, False, "Admin", True),
        ("Member", False, False, "Admin", False),
        (None, False, False, "Admin", False),
        ("Member", False, False, "Member", True),
    ):
        assert (check_giving(actor, role, is_staff=is_staff, is_platform=is_platform) is None) is may
    for role, becomes, leaders, may in (
        ("Admin", "Member", 1, False),
        ("SuperAdmin", None, 1, False),
        ("Admin", "SuperAdmin", 1, True),
        ("Admin", None, 2, True),
        ("Member", None, 1, True),
    ):
        assert (check_staying_led(role, becomes, leaders) is None) is may


@pytest.mark.rule("podcast-020")
async def test_each_workspace_has_its_own_face(town: Town) -> None:
    made = await town.do(SERVICE, "create_workspace", name="Branch", slug="branch")
    there = Viewer(UUID(made["id"]), STAFF.user_id, "staff")
    face = {"brand_name": "Winter", "logo_url": "https://a.example/l.png", "primary_color": "#aabbcc"}
    await town.add(STAFF, "white_label_settings", **face, custom_domain="winter.example")
    await town.add(there, "white_label_settings", brand_name="Branch", custom_domain="branch.example")
    await town.ask(there, "PATCH", "/white_label_settings?brand_name=eq.Branch", {"primary_color": "#000000"})
    await town.ask(there, "PATCH", "/white_label_settings?brand_name=eq.Winter", {"primary_color": "#ffffff"})
    (row,) = await town.see(GUEST, "/white_label_settings")
    assert {name: row[name] for name in face} == face
    assert row["custom_domain"] == "winter.example"
    (row,) = await town.see(Viewer(there.tenant_id, None, "anon"), "/white_label_settings")
    assert (row["brand_name"], row["primary_color"]) == ("Branch", "#000000")
