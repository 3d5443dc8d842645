"""A small town for tests of what people do: five of them, asked over /rest/v1 as whoever a test says."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from core.ids import DEFAULT_TENANT
from core.viewer import GUEST, Viewer, service
from tests.edge.rest_shop import MARA, STAFF, Shop

NOA, PIA, ZOE = (
    Viewer(DEFAULT_TENANT, UUID(f"00000000-0000-7000-8000-0000000003{n}"), "authenticated") for n in (11, 12, 13)
)
FILM, SERIES = (f"00000000-0000-7000-8000-0000000008{n}" for n in ("01", "02"))
PEOPLE = ", ".join(f"'{viewer.user_id}'" for viewer in (NOA, PIA, ZOE))
TOWN_SQL = f"""
SELECT set_config('app.tenant_id', '{DEFAULT_TENANT}', false), set_config('app.role', 'service_role', false);
INSERT INTO users (id, name, email) VALUES ('{NOA.user_id}', 'Noa', 'noa@example.com'), ('{PIA.user_id}', 'Pia', 'pia@example.com'),
                                           ('{ZOE.user_id}', 'Zoe', 'zoe@example.com');
INSERT INTO user_profiles (user_id, display_name) SELECT id, name FROM users ON CONFLICT DO NOTHING;
INSERT INTO media_items (id, title, tmdb_type, tmdb_id) VALUES ('{FILM}', 'Winter Light', 'movie', 1), ('{SERIES}', 'The Circle', 'tv', 2);
INSERT INTO point_entries (user_id, points, reason) VALUES ('{MARA.user_id}', 20, 'welcome'), ('{NOA.user_id}', 20, 'welcome');
DELETE FROM notifications;
"""
# Everything that a test of this folder writes to, by hand or by trigger; what hangs on it goes along.
BACK_SQL = f"""
SELECT set_config('app.tenant_id', '{DEFAULT_TENANT}', false), set_config('app.role', 'service_role', false);
TRUNCATE media_items, families, blogs, blog_categories, announcements, help_requests, notifications, point_entries, memberships, invitations,
         roles, permissions, resource_ownership, access_control_policies, access_logs, white_label_settings, tenant_settings, courses, outbox,
         audit_logs, idempotency_keys CASCADE;
DELETE FROM users WHERE id IN ({PEOPLE});
UPDATE users SET points = 0, role = 'user' WHERE email LIKE '%@example.com';
DELETE FROM tenants WHERE slug NOT IN ('default', 'first', 'other') OR (slug = 'default' AND id <> '{DEFAULT_TENANT}');
UPDATE tenants SET slug = 'default', name = 'Default Workspace' WHERE id = '{DEFAULT_TENANT}';
"""

__all__ = ["FILM", "GUEST", "MARA", "NOA", "PIA", "SERIES", "STAFF", "TOWN_SQL", "ZOE", "BACK_SQL", "Town"]


class Town:
    """Asks as one person after the other."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def ask(self, viewer: Viewer, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the body of one exchange."""
        self.shop.viewer = viewer
        data = None if body is None else orjson.dumps(body)
        headers = {"Content_Type": "application/json", "Prefer": "return=representation"} if data else {}
        response = await self.shop.send(method, path, data=data, **headers)
        raw = await response.read()
        return response.status, orjson.loads(raw) if raw else None

    async def do(self, viewer: Viewer, command: str, **asked: object) -> Any:
        """What a command answers."""
        status, said = await self.ask(viewer, "POST", f"/rpc/{command}", asked)
        assert status == 200, said
        return said

    async def refused(self, viewer: Viewer, command: str, **asked: object) -> str:
        """The code with which a command is refused."""
        status, said = await self.ask(viewer, "POST", f"/rpc/{command}", asked)
        assert status >= 400, said
        return str(said["code"])

    async def add(self, viewer: Viewer, table: str, **values: object) -> Any:
        """A new row."""
        status, said = await self.ask(viewer, "POST", f"/{table}", values)
        assert status == 201, said
        return said[0]

    async def cannot_add(self, viewer: Viewer, table: str, **values: object) -> int:
        """The status with which a row is refused."""
        status, said = await self.ask(viewer, "POST", f"/{table}", values)
        assert status >= 400, said
        return status

    async def see(self, viewer: Viewer, path: str) -> Any:
        """The rows that a person sees; a refusal shows nothing."""
        status, said = await self.ask(viewer, "GET", path)
        return said if status == 200 else []

    async def told(self, viewer: Viewer, type_: str) -> list[str]:
        """The titles of what a person was told, of one kind, the oldest first."""
        return [row["title"] for row in await self.see(viewer, f"/notifications?type=eq.{type_}&order=id")]

    async def sql(self, text: str, *args: object) -> list[dict[str, Any]]:
        """Rows as the product itself sees them."""
        async with self.shop.database.transaction(service()) as tx:
            return [dict(row) for row in await tx.connection.fetch(text, *args)]

    async def mailed(self, template: str) -> str:
        """The secret in the newest mail of a kind."""
        rows = await self.sql(
            "SELECT payload -> 'variables' ->> 'token' AS token FROM outbox WHERE payload ->> 'template' = $1 ORDER BY seq DESC",
            template,
        )
        return str(rows[0]["token"])
