"""What may stand side by side, and what the database minds of itself when a parent is missing or a file is deleted."""

from __future__ import annotations

import asyncpg
import pytest

from tests.core.rows import Parent, Rows, Values

NOBODY = "00000000-0000-7000-8000-0000000000ff"


@pytest.mark.parametrize(
    ("table", "shared", "values"),
    [
        pytest.param("users", (), {"username": None}, marks=[pytest.mark.rule("streaming-003"), pytest.mark.rule("edupeak-002")]),
        pytest.param("accounts", ("user_id",), {}, marks=[pytest.mark.rule("streaming-007"),
            pytest.mark.rule("edupeak-012"), pytest.mark.rule("lms-016")]),
        pytest.param("sessions", ("user_id",), {}, marks=pytest.mark.rule("streaming-008")),
        pytest.param("content_categories", ("content_id",), {}, marks=pytest.mark.rule("streaming-033")),
        pytest.param("content_categories", ("category_id",), {}, marks=pytest.mark.rule("streaming-033")),
        pytest.param("content_genres", ("content_id",), {}, marks=pytest.mark.rule("streaming-035")),
        pytest.param("content_genres", ("genre_id",), {}, marks=pytest.mark.rule("streaming-035")),
        pytest.param("playlist_episodes", (), {"episode_order": 1}, marks=pytest.mark.rule("streaming-047")),
        pytest.param("playlist_episodes", ("content_id",), {}, marks=pytest.mark.rule("streaming-049")),
        pytest.param("storage", ("file_id",), {}, marks=pytest.mark.rule("streaming-061")),
        pytest.param("payments", ("order_id",), {}, marks=[pytest.mark.rule("streaming-084"), pytest.mark.rule("edupeak-120")]),
        pytest.param("content_views", ("content_id", "user_id"), {}, marks=pytest.mark.rule("streaming-104")),
        pytest.param("content_views", ("content_id",), {"user_id": None}, marks=pytest.mark.rule("streaming-103")),
        pytest.param("family_memberships", ("user_id",), {}, marks=pytest.mark.rule("infocus-045")),
        pytest.param("family_memberships", ("family_id",), {}, marks=pytest.mark.rule("infocus-045")),
        pytest.param("family_invitations", ("email",), {}, marks=pytest.mark.rule("infocus-050")),
        pytest.param("memberships", ("tenant_id",), {}, marks=pytest.mark.rule("edupeak-045")),
        pytest.param("courses", ("teacher_id",), {}, marks=pytest.mark.rule("edupeak-069")),
        pytest.param("enrollments", ("user_id",), {}, marks=pytest.mark.rule("edupeak-106")),
        pytest.param("blogs", ("category_id",), {"category_id": Parent("blog_categories")}, marks=pytest.mark.rule("edupeak-225")),
        pytest.param("blog_tags", ("slug",), {}, marks=pytest.mark.rule("edupeak-229")),
        pytest.param("course_reviews", ("course_id",), {"comment": None}, marks=pytest.mark.rule("edupeak-093")),
    ],
)  # fmt: skip
async def test_two_may_share_that(rows: Rows, table: str, shared: tuple[str, ...], values: Values) -> None:
    first = await rows.make(table, **values)
    second = await rows.make(table, **{**values, **{name: first[name] for name in shared}})
    assert first["id"] != second["id"]
    assert [first[name] for name in shared] == [second[name] for name in shared]


@pytest.mark.rule("edupeak-048")
async def test_one_person_is_a_member_of_several_tenants(rows: Rows) -> None:
    first = await rows.make("memberships")
    other = await rows.make("tenants")
    second = await rows.make("memberships", user_id=first["user_id"], tenant_id=other["id"])
    assert (first["user_id"], first["tenant_id"]) != (second["user_id"], second["tenant_id"])


@pytest.mark.rule("podcast-002")
@pytest.mark.rule("podcast-144")
@pytest.mark.rule("streaming-107")
@pytest.mark.rule("edupeak-295")
@pytest.mark.rule("lms-090")
async def test_no_key_points_at_nothing(rows: Rows) -> None:
    """Every foreign key of every table, tried with an id that nobody has."""
    keys = await rows.connection.fetch(
        """SELECT c.relname::text AS table_name, a.attname::text AS col FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
           JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = con.conkey[1]
           WHERE con.contype = 'f' AND con.conparentid = 0 AND cardinality(con.conkey) = 1 AND a.atttypid = 'uuid'::regtype
           AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND c.relname !~ '^pgqueuer' ORDER BY 1, 2"""
    )
    assert len(keys) > 250
    accepted = []
    for table, column in keys:
        try:
            async with rows.connection.transaction():
                # A rule of its own may be asked before the key is; the row is gone either way.
                await rows.make(table, **{column: NOBODY})
                accepted.append(f"{table}.{column}")
        except asyncpg.IntegrityConstraintViolationError:
            pass
    assert accepted == []


@pytest.mark.rule("edupeak-296")
@pytest.mark.rule("streaming-024")
async def test_no_key_leaves_its_children_to_themselves(rows: Rows) -> None:
    """Deleted with the parent, set to null, or given to the system; only what is owed or sold keeps its parent."""
    kept = await rows.connection.fetch(
        """SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND confdeltype IN ('a', 'r')
           AND connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '^pgqueuer' ORDER BY 1"""
    )
    assert [row[0] for row in kept] == ["payouts", "subscriptions"]


@pytest.mark.rule("lms-089")
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "email"),
        ("courses", "title"),
        ("lessons", "title"),
        ("questions", "question"),
        ("files", "checksum"),
        ("payments", "amount"),
    ],
)
async def test_what_is_required_must_be_given(rows: Rows, table: str, column: str) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):
        await rows.make(table, **{column: None})


@pytest.mark.rule("streaming-056")
@pytest.mark.rule("streaming-057")
@pytest.mark.rule("streaming-058")
@pytest.mark.rule("streaming-059")
@pytest.mark.rule("podcast-142")
async def test_a_deleted_file_stays_and_can_be_brought_back(rows: Rows) -> None:
    file = await rows.make("files")
    content = await rows.make("contents", file_id=file["id"], thumbnail_image_id=file["id"])
    await rows.make("storage", file_id=file["id"])
    await rows.delete("files", file)
    left = await rows.connection.fetchrow(
        "SELECT is_deleted, deleted_at IS NOT NULL FROM files WHERE id = $1", file["id"]
    )
    assert tuple(left or ()) == (True, True)
    assert await rows.connection.fetchval("SELECT file_id FROM contents WHERE id = $1", content["id"]) == file["id"]
    assert await rows.connection.fetchval("SELECT count(*) FROM storage WHERE file_id = $1", file["id"]) == 1
    back = await rows.change("files", file, is_deleted=False, deleted_at=None)
    assert not back["is_deleted"]


@pytest.mark.rule("infocus-004")
@pytest.mark.rule("lms-092")
@pytest.mark.parametrize("table", ["users", "courses", "lessons", "watchlist_entries", "families"])
async def test_other_rows_are_deleted_for_good(rows: Rows, table: str) -> None:
    row = await rows.make(table)
    await rows.delete(table, row)
    assert await rows.connection.fetchval(f"SELECT count(*) FROM {table} WHERE id = $1", row["id"]) == 0


@pytest.mark.rule("streaming-053")
async def test_a_playlist_leaves_its_titles_behind(rows: Rows) -> None:
    episode = await rows.make("playlist_episodes")
    await rows.connection.execute("DELETE FROM playlists WHERE id = $1", episode["playlist_id"])
    assert await rows.connection.fetchval("SELECT count(*) FROM contents WHERE id = $1", episode["content_id"]) == 1


@pytest.mark.rule("streaming-070")
@pytest.mark.rule("streaming-072")
async def test_a_price_once_agreed_is_not_touched_by_later_ones(rows: Rows) -> None:
    order = await rows.make("orders", total_amount=5)
    line = await rows.make("order_items", order_id=order["id"], price=5)
    item = await rows.make("cart_items", content_id=line["content_id"], price=5)
    for price, start in ((5, "2026-01-01Z"), (9, "2026-02-01Z")):
        await rows.make("content_prices", content_id=line["content_id"], price=price, effective_from=start)
    for table, row in (("order_items", line), ("cart_items", item)):
        assert await rows.connection.fetchval(f"SELECT price::int FROM {table} WHERE id = $1", row["id"]) == 5
