"""Who may do what in a workspace: memberships, roles, ownership, policies; and that it is kept."""

from __future__ import annotations

from itertools import product
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.tenancy.access import Facts, PolicyDefinition, decide_access
from tests.core.domain.tenancy.test_members import join
from tests.core.domain.town import GUEST, MARA, NOA, STAFF, Town

MINE = uuid4()
WORDS = st.sampled_from(["*", "contents", "blogs"])
ACTIONS = st.sampled_from(["*", "read", "update"])
POLICIES = st.lists(
    st.builds(
        PolicyDefinition,
        effect=st.sampled_from(["deny", "allow"]),
        resource_type=WORDS,
        action=ACTIONS,
        roles=st.sampled_from([(), ("Member",), ("Admin", "SuperAdmin")]),
        user_ids=st.sampled_from([(), (MINE,), (uuid4(),)]),
    ),
    max_size=5,
)
FACTS = st.builds(
    Facts,
    user_id=st.just(MINE),
    is_staff=st.booleans(),
    tenant_role=st.sampled_from([None, "Member", "Admin"]),
    has_permission=st.booleans(),
    is_owner=st.booleans(),
)


@given(FACTS, POLICIES, st.sampled_from(["contents", "blogs"]), st.sampled_from(["read", "update"]))
def test_what_forbids_is_stronger_than_what_allows(
    facts: Facts, policies: list[PolicyDefinition], resource_type: str, action: str
) -> None:
    decision = decide_access(facts, resource_type, action, policies)
    meant = [
        policy.effect
        for policy in policies
        if policy.resource_type in ("*", resource_type)
        and policy.action in ("*", action)
        and (not (policy.roles or policy.user_ids) or facts.tenant_role in policy.roles or MINE in policy.user_ids)
    ]
    may = facts.is_staff or facts.has_permission or facts.is_owner or "allow" in meant
    assert decision.allowed is (may and "deny" not in meant)
    assert decide_access(facts, resource_type, action, policies[::-1]) == decision, "their order decides nothing"


def test_nothing_that_allows_is_a_no() -> None:
    for is_staff, has_permission, is_owner in product((False, True), repeat=3):
        facts = Facts(MINE, is_staff, None, has_permission, is_owner)
        assert decide_access(facts, "contents", "read", ()).allowed is (is_staff or has_permission or is_owner)


DENY = {"effect": "deny", "resource_type": "invitations", "action": "create", "roles": ["Admin"]}
ALLOW = {"effect": "allow", "resource_type": "invitations", "action": "create", "roles": ["Member"]}


@pytest.mark.rule("podcast-048")
@pytest.mark.rule("podcast-049")
async def test_a_policy_counts_while_it_is_enabled(town: Town) -> None:
    await join(town, MARA, "Member")
    await join(town, STAFF, "Admin")
    for name, definition in (("No invitations", DENY), ("Members invite", ALLOW)):
        made = await town.do(STAFF, "set_access_policy", name=name, definition=definition, enabled=False)
        assert made["enabled"] is False
    assert await town.refused(MARA, "invite_member", email="a@example.org") == "PS304"
    await town.do(STAFF, "invite_member", email="b@example.org")
    await town.ask(STAFF, "PATCH", "/access_control_policies?enabled=is.false", {"enabled": True})
    await town.do(MARA, "invite_member", email="a@example.org")
    assert await town.refused(STAFF, "invite_member", email="c@example.org") == "PS578"
    await town.ask(STAFF, "PATCH", "/access_control_policies?enabled=is.true", {"enabled": False})
    assert await town.refused(MARA, "invite_member", email="d@example.org") == "PS304"
    await town.do(STAFF, "invite_member", email="c@example.org")
    assert await town.see(MARA, "/access_control_policies") == []


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"effect": "maybe", "resource_type": "*", "action": "*"},
        {"effect": "deny", "resource_type": "Not a table", "action": "*"},
        {"effect": "deny", "resource_type": "*", "action": "*", "roles": ["King"]},
        {"effect": "deny", "resource_type": "*", "action": "*", "unless": "me"},
    ],
)
async def test_a_policy_that_says_nothing_understood_is_refused(town: Town, definition: object) -> None:
    assert await town.refused(STAFF, "set_access_policy", name="x", definition=definition) == "PS102"
    assert await town.see(STAFF, "/access_control_policies") == []


@pytest.mark.rule("podcast-050")
async def test_question_and_answer_are_kept(town: Town) -> None:
    await join(town, MARA, "Member")
    await town.sql("INSERT INTO permissions (name, resource_type, action) VALUES ('podcasts:edit', 'podcasts', 'edit')")
    (permission,) = await town.sql("SELECT id FROM permissions WHERE name = 'podcasts:edit'")
    role = await town.add(STAFF, "roles", name="Editor")
    await town.add(STAFF, "role_permissions", role_id=role["id"], permission_id=str(permission["id"]))
    subject = str(uuid4())
    asked = {"resource_type": "podcasts", "action": "edit", "resource_id": subject}
    assert await town.do(MARA, "check_access", **asked) == {"allowed": False, "reason": "no_permission"}
    await town.add(STAFF, "user_roles", user_id=str(MARA.user_id), role_id=role["id"])
    assert await town.do(MARA, "check_access", **asked) == {"allowed": True, "reason": "permission"}
    await town.add(
        STAFF, "resource_ownership", resource_type="podcasts", resource_id=subject, owner_id=str(MARA.user_id)
    )
    assert (await town.do(MARA, "check_access", **{**asked, "action": "sell"}))["reason"] == "owner"
    rows = await town.see(STAFF, "/access_logs?order=occurred_at,id")
    assert [(row["action"], row["allowed"], row["reason"]) for row in rows] == [
        ("edit", False, "no_permission"),
        ("edit", True, "permission"),
        ("sell", True, "owner"),
    ]
    assert {(row["user_id"], row["resource_type"], row["resource_id"]) for row in rows} == {
        (str(MARA.user_id), "podcasts", subject)
    }
    for viewer in (MARA, NOA, GUEST):
        assert await town.see(viewer, "/access_logs") == []
