"""No context opens a column that holds a secret, or what gives one away."""

from __future__ import annotations

import re

import pytest

from core.database import dedicated
from core.domain.context import Table
from core.domain.registry import CONTEXTS
from tests.conftest import TestDatabase

NEVER = re.compile(r"(?:.*_)?(?:password|secret|digest|hash)|.*_(?:digest|hash|encrypted)|search|answer_key")
# Columns by name, of tables that may be opened otherwise.
NEVER_OF = {
    "questions": {"correct_answer"},
    "error_logs": {"stack", "stack_trace"},
    "webhooks": {"secret"},
    "accounts": {"password", "access_token", "refresh_token", "id_token"},
}
# What matches and tells nothing, each with the reason.
HARMLESS: dict[tuple[str, str], str] = {("transcode_jobs", "is_encrypted"): "says whether, not with what"}

SERVED = {table.name: table for context in CONTEXTS for table in context.tables}


def given_away(table: Table, columns: set[str]) -> set[str]:
    """Those of `columns` that the engine would serve and must not."""
    never = {name for name in columns if NEVER.fullmatch(name)} | (NEVER_OF.get(table.name, set()) & columns)
    return {name for name in never - table.hidden if (table.name, name) not in HARMLESS}


async def test_no_table_is_served_with_its_secrets(database_urls: TestDatabase) -> None:
    admin = await dedicated(database_urls.admin_url)
    try:
        rows = await admin.fetch(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'"
        )
    finally:
        await admin.close()
    columns: dict[str, set[str]] = {}
    for table_name, column in rows:
        columns.setdefault(table_name, set()).add(column)
    assert {name: found for name, table in SERVED.items() if (found := given_away(table, columns[name]))} == {}
    # What the list names is there to be hidden.
    named = {(table, name) for table, names in NEVER_OF.items() for name in names & columns.get(table, set())}
    assert {"correct_answer", "secret", "password"} <= {name for _, name in named}


@pytest.mark.parametrize(
    ("table", "column"),
    [("api_keys", "key_hash"), ("webhooks", "secret"), ("questions", "correct_answer"), ("contents", "search"),
     ("refresh_tokens", "token_digest"), ("integration_tokens", "token_value_encrypted"), ("error_logs", "stack")],
)  # fmt: skip
def test_an_open_secret_is_found(table: str, column: str) -> None:
    assert given_away(Table(table), {"id", column, "name"}) == {column}
    assert given_away(Table(table, hidden=frozenset({column})), {"id", column, "name"}) == set()
