"""What a context says of its states is what the schema's triggers allow."""

from __future__ import annotations

import re

import pytest

from core.domain.context import Context
from core.domain.registry import CONTEXTS
from tests.core.rows import Rows


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.name)
async def test_the_moves_of_a_context_are_those_of_the_schema(rows: Rows, context: Context) -> None:
    for table, moves in context.states.items():
        definition = await rows.connection.fetchval(
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = $1 || '_transition'",
            table,
        )
        assert definition is not None, table
        legal = set(re.findall(r"'(\w+)>(\w+)'", definition))
        assert {(old, new) for old, news in moves.items() for new in news} == legal, table
