"""A row for any table, made from the catalogue: what it needs is filled in, what it points at is made first.

Values fit the columns' types and the usual rules (an address, a currency, a digest). What a table wants beyond that is
said in WANTED. Rows are made past row-level security, on a connection of the server's administrator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from core.database import Connection, Row

_COLUMNS = """
SELECT c.relname::text AS table_name, a.attname::text AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS required,
       a.atthasdef OR a.attidentity <> '' AS has_default, a.attgenerated <> '' OR a.attidentity <> '' AS is_made,
       (SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder LIMIT 1) AS label
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, a.attnum
"""

_FOREIGN_KEYS = """
SELECT c.relname::text AS table_name, f.relname::text AS parent,
       (SELECT array_agg(a.attname::text ORDER BY k.nth) FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY k.nth) FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.attnum) AS parent_columns
FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid JOIN pg_class f ON f.oid = con.confrelid
WHERE con.contype = 'f' AND con.conparentid = 0 AND c.relnamespace = 'public'::regnamespace
ORDER BY cardinality(con.conkey) DESC, con.conname
"""

Values = dict[str, Any]


@dataclass(frozen=True)
class Parent:
    """Asks for a row of `table`; the column gets its `column`."""

    table: str
    values: Values = field(default_factory=dict)
    column: str = "id"


WANTED: dict[str, Callable[[], Values]] = {
    "accounts": lambda: {"provider_id": "google"},
    "ai_token_balances": lambda: {"balance": 1_000_000},
    "api_usage": lambda: {"status_code": 200},
    "archived_sessions": lambda: {"expires_at": "2026-01-01Z"},
    "assignment_submissions": lambda: {"link": "https://example.com/work"},
    "attribution_models": lambda: {"model_type": "linear"},
    "blogs": lambda: {"points_required": 0},
    "cart_items": lambda: {"item_type": "CONTENT", "content_id": Parent("contents")},
    "certificates": lambda: {"enrollment_id": Parent("enrollments", {"progress": 100})},
    "course_reviews": lambda: {"rating": 5},
    "courses": lambda: {"file_key": "pictures/1.jpg"},
    "early_unlocks": lambda: {"lesson_id": Parent("lessons"), "points_spent": 0},
    "experiment_assignments": lambda: {"variant": "control"},
    "follows": lambda: {"following_id": Parent("users")},
    "gdpr_requests": lambda: {"request_type": "access"},
    "onboarding_progress": lambda: {"completed_at": "2026-01-01Z"},
    "order_items": lambda: {"item_type": "CONTENT", "content_id": Parent("contents")},
    "outbox": lambda: {"topic": "content.published"},
    "questions": lambda: {"type": "long_answer"},
    "recommendations": lambda: {"recommended_by": Parent("users")},
    "refunds": lambda: {
        "payment_id": Parent(
            "payments", {"status": "SUCCESS", "paid_at": "2026-01-01Z", "provider_transaction_id": uuid4().hex}
        )
    },
    "storage": lambda: {"storage_provider": "file"},
    "tenants": lambda: {"slug": f"t-{uuid4().hex}"},
    "text_tracks": lambda: {"language": "en"},
    "user_interests": lambda: {"interest_name": "Film"},
    "webhooks": lambda: {"url": "https://example.com/hook", "secret": uuid4().hex},
}


_known: dict[object, tuple[dict[str, list[Row]], dict[str, list[Row]]]] = {}
"""Columns and foreign keys, by the server's version: all databases of one server here are clones of one template."""


class Rows:
    """Makes rows in one tenant; `user_id` is whose they are where nobody else is named."""

    def __init__(self, connection: Connection[Row], tenant_id: UUID, user_id: UUID | None = None) -> None:
        self.connection = connection
        self.tenant_id = tenant_id
        self.user_id = user_id
        self._columns: dict[str, list[Row]] = {}
        self._keys: dict[str, list[Row]] = {}
        self._numbers = count(1)

    async def tables(self) -> list[str]:
        """Every table, partitions apart."""
        if not self._columns:
            version = self.connection.get_server_version()
            if version not in _known:
                columns: dict[str, list[Row]] = {}
                keys: dict[str, list[Row]] = {}
                for row in await self.connection.fetch(_COLUMNS):
                    columns.setdefault(row["table_name"], []).append(row)
                for row in await self.connection.fetch(_FOREIGN_KEYS):
                    keys.setdefault(row["table_name"], []).append(row)
                _known[version] = columns, keys
            self._columns, self._keys = _known[version]
        return list(self._columns)

    async def make(self, table: str, **values: Any) -> Row:
        """A new row of `table` with these values, whole as stored."""
        await self.tables()
        await self.connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(self.tenant_id))
        filled: Values = {**WANTED.get(table, dict)(), **values}
        columns = {row["name"]: row for row in self._columns[table]}
        if "tenant_id" in columns:
            filled.setdefault("tenant_id", self.tenant_id)
        for name, value in list(filled.items()):
            if isinstance(value, Parent):
                filled[name] = (await self.make(value.table, **value.values))[value.column]
        for key in self._keys.get(table, []):
            is_needed = all(columns[name]["required"] for name in key["columns"])
            if any(name not in filled for name in key["columns"]) and (is_needed or await self._is_begun(key, filled)):
                await self._fill_from_parent(key, filled)
        for name, column in columns.items():
            if name not in filled and column["required"] and not column["has_default"] and not column["is_made"]:
                filled[name] = self._value(name, column)
        names = list(filled)
        casts = [f"${number}::text::{columns[name]['type']}" for number, name in enumerate(names, 1)]
        row = await self.connection.fetchrow(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(casts)}) RETURNING *",
            *(None if filled[name] is None else str(filled[name]) for name in names),
        )
        assert row is not None
        return row

    async def change(self, table: str, row: Row, **changes: Any) -> Row:
        """The row with other values, as stored."""
        columns = {column["name"]: column for column in self._columns[table]}
        names = list(changes)
        sets = [f"{name} = ${number}::text::{columns[name]['type']}" for number, name in enumerate(names, 2)]
        changed = await self.connection.fetchrow(
            f"UPDATE {table} SET {', '.join(sets)} WHERE id = $1 RETURNING *",
            row["id"],
            *(None if changes[name] is None else str(changes[name]) for name in names),
        )
        assert changed is not None
        return changed

    async def delete(self, table: str, row: Row) -> None:
        """Deletes the row."""
        await self.connection.execute(f"DELETE FROM {table} WHERE id = $1", row["id"])

    async def type_of(self, table: str, column: str) -> str:
        """The type of a column, as SQL writes it."""
        await self.tables()
        found: str = next(c["type"] for c in self._columns[table] if c["name"] == column)
        return found

    async def _fill_from_parent(self, key: Row, filled: Values) -> None:
        if key["parent"] == "users" and self.user_id is not None and len(key["columns"]) == 1:
            filled[key["columns"][0]] = self.user_id
            return
        pairs = dict(zip(key["parent_columns"], key["columns"], strict=True))
        given = {there: filled[here] for there, here in pairs.items() if here in filled}
        if "user_id" in pairs and self.user_id is not None:
            given["user_id"] = self.user_id
        parent = await self._find(key["parent"], given) or await self.make(key["parent"], **given)
        filled.update({here: parent[there] for there, here in pairs.items()})

    async def _is_begun(self, key: Row, filled: Values) -> bool:
        """Whether a key of several columns that need not be there names an existing parent with the first of them."""
        there, here = key["parent_columns"][0], key["columns"][0]
        return filled.get(here) is not None and await self._find(key["parent"], {there: filled[here]}) is not None

    async def _find(self, table: str, given: Values) -> Row | None:
        """A row that is there already, where some of its columns are settled."""
        if not given:
            return None
        matches = " AND ".join(f"{name} = ${number}" for number, name in enumerate(given, 1))
        return await self.connection.fetchrow(f"SELECT * FROM {table} WHERE {matches} LIMIT 1", *given.values())

    def _value(self, name: str, column: Row) -> Any:
        number = next(self._numbers)
        if column["label"] is not None:
            return column["label"]
        match column["type"]:
            case "text":
                return self._text(name)
            case "uuid":
                return uuid4()
            case "integer" | "bigint":
                return number
            case "numeric" | "double precision":
                return 1
            case "boolean":
                return "true"
            case "bytea":
                return "\\x" + uuid4().hex * 2
            case "jsonb":
                return "{}"
            case "uuid[]":
                return f"{{{uuid4()}}}"
            case "date":
                return "today"
            case "timestamp with time zone":
                return "now" if name.startswith("scheduled") else "tomorrow"
            case "interval":
                return "1 day"
            case other:
                raise AssertionError(f"{name}: no value for {other}")

    @staticmethod
    def _text(name: str) -> str:
        unique = uuid4().hex
        if "email" in name:
            return f"{unique}@example.com"
        if "currency" in name:
            return "EUR"
        if "checksum" in name:
            return f"sha256:{unique}{unique}"
        return f"{name.replace('_', '-')}-{unique}"
