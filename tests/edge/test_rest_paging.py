"""Keyset paging, counts as columns and spread lists over /rest/v1, as literal HTTP exchanges."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.viewer import service
from tests.edge.rest_shop import MARA, STAFF, Shop, own_shop, shop, shop_database

__all__ = ["own_shop", "shop", "shop_database"]

ANNA = "00000000-0000-7000-8000-000000000101"


async def walk(shop: Shop, path: str) -> list[list[Any]]:
    """Every page from the first on."""
    pages: list[list[Any]] = []
    cursor = ""
    while len(pages) < 50:
        response = await shop.get(f"{path}&cursor={cursor}")
        assert response.status == 200, await response.text()
        pages.append(orjson.loads(await response.read()))
        if "Next-Cursor" not in response.headers:
            return pages
        cursor = response.headers["Next-Cursor"]
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(
    "order",
    [
        "",
        "id.desc",
        "title",
        "title.desc",
        "duration",
        "duration.desc",
        "duration.nullsfirst",
        "duration.desc.nullslast",
        "release_date.desc,title",
        "is_free.desc,language,duration",
        "content_type,published_at.desc",
        "updated_at",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3])
async def test_pages_hold_every_row_once_and_in_order(shop: Shop, order: str, size: int) -> None:
    shop.viewer = STAFF
    terms = f"{order},id" if order and "id" not in order.split(",") else order or "id"
    if order.endswith("desc") and order != "id.desc":
        terms = f"{order},id.desc"
    everything = await shop.rows(f"/contents?select=title&order={terms}")
    pages = await walk(shop, f"/contents?select=title&limit={size}" + (f"&order={order}" if order else ""))
    assert [row for page in pages for row in page] == everything
    assert all(len(page) == size for page in pages[:-1])


@pytest.mark.parametrize("order", ["data->>name", "data->name.desc", "amount.desc", "tags", "span", 'odd name"x'])
async def test_pages_follow_any_column_and_json(shop: Shop, order: str) -> None:
    name, dot, direction = order.rpartition(".")
    column = name if dot else order
    quoted = quote(f'"{column}"'.replace('d name"x', 'd name\\"x') if " " in column else column) + dot * bool(dot)
    quoted += direction if dot else ""
    pages = await walk(shop, f"/specimens?select=id&limit=1&order={quoted}")
    assert sorted(page[0]["id"] for page in pages if page) == [1, 2, 3]


async def test_pages_keep_filters_embeds_and_the_count_of_everything(shop: Shop) -> None:
    path = "/contents?select=title,genres(title)&content_type=eq.MOVIE&genres.order=title&order=title&limit=1"
    first = await shop.get(f"{path}&cursor=", Prefer="count=exact")
    assert orjson.loads(await first.read()) == [{"title": "Anna", "genres": [{"title": "Comedy"}, {"title": "Drama"}]}]
    assert first.headers["Content-Range"] == "0-0/2"
    second = await shop.get(f"{path}&cursor={first.headers['Next-Cursor']}", Prefer="count=exact")
    assert orjson.loads(await second.read()) == [{"title": "Brand (1992)", "genres": [{"title": "Drama"}]}]
    assert second.headers["Content-Range"] == "0-0/2"


async def test_a_row_that_appears_before_the_cursor_does_not_shift_the_pages(own_shop: Shop) -> None:
    shop = own_shop
    first = await shop.get("/contents?select=title&order=title&limit=2&cursor=")
    async with shop.database.transaction(service()) as tx:
        await tx.connection.execute(
            "INSERT INTO contents (title, content_type, is_published, published_at) VALUES ('Aaa', 'MOVIE', true, now())"
        )
    rows = await shop.rows(f"/contents?select=title&order=title&limit=2&cursor={first.headers['Next-Cursor']}")
    assert rows == [{"title": "Circle, The"}]


async def test_a_cursor_of_another_order_table_or_making_is_refused(shop: Shop) -> None:
    response = await shop.get("/contents?order=title&limit=1&cursor=")
    cursor = response.headers["Next-Cursor"]
    mark = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))[0]
    forged = [
        base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()
        for value in ({}, [], [mark], [mark, 7, 8], [mark, "a", "b", "c"], [mark, "a", None], [mark, "a\0", "b"], None)
    ]
    for path in (
        f"/contents?order=title.desc&limit=1&cursor={cursor}",
        f"/genres?order=title&limit=1&cursor={cursor}",
        *(f"/contents?order=title&limit=1&cursor={text}" for text in (*forged, "x", "====", "%C3%A9", "A" * 5000)),
        f"/contents?order=title&cursor={cursor}&offset=1",
        "/contents?order=title&cursor=&cursor=",
        "/contents?select=*,generations!generation_id(*)&order=generations(height)&cursor=",
        "/contents?select=count()&cursor=",
    ):
        assert (await shop.refused(path))[:2] == (400, "PS104"), path
    values = base64.urlsafe_b64encode(orjson.dumps([mark, "a", "no uuid"])).rstrip(b"=").decode()
    status, code, body = await shop.refused(f"/contents?order=title&limit=1&cursor={values}")
    assert (status, code, body["fields"][0]["path"]) == (400, "PS505", "cursor")
    assert (await shop.refused("/contents?cursor=", Accept="text/csv"))[:2] == (400, "PS104")


async def test_no_cursor_is_ever_an_error_of_ours(shop: Shop) -> None:
    texts: list[str] = []
    value = st.none() | st.text(max_size=6) | st.integers(-9, 9) | st.lists(st.text(max_size=2), max_size=2)

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(value, max_size=4) | st.text(max_size=8))
    def collect(made: object) -> None:
        texts.append(base64.urlsafe_b64encode(orjson.dumps(made)).decode() if isinstance(made, list) else str(made))

    collect()
    for text in texts:
        response = await shop.get(f"/contents?order=title&cursor={quote(text, errors='replace')}")
        assert response.status in (200, 400)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select=title,genres(count)&order=title", [2, 1, 0]),
        ("select=title,genres(count())&order=title", [2, 1, 0]),
        ("select=title,genres(count())&genres.title=eq.Drama&order=title", [1, 1, 0]),
    ],
)
async def test_an_embed_can_be_counted(shop: Shop, query: str, rows: list[int]) -> None:
    assert [row["genres"][0]["count"] for row in await shop.rows(f"/contents?{query}")] == rows


async def test_a_table_can_be_counted_under_any_key(shop: Shop) -> None:
    assert await shop.rows("/contents?select=count()") == [{"count": 3}]
    assert await shop.rows("/contents?select=films:count()&content_type=eq.MOVIE") == [{"films": 2}]
    response = await shop.get("/contents?select=count()", Accept="text/csv")
    assert await response.text() == 'count\r\n"3"\r\n'


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (
            "content_type,count()&order=content_type.desc",
            [{"content_type": "EPISODE", "count": 1}, {"content_type": "MOVIE", "count": 2}],
        ),
        ("kind:content_type,n:count()::text&order=content_type&limit=1", [{"kind": "MOVIE", "n": "2"}]),
        ("kind:content_type,n:count()&order=content_type&offset=1", [{"kind": "EPISODE", "n": 1}]),
        (
            "content_type,as_text:content_type::text,count()&content_type=eq.MOVIE",
            [{"content_type": "MOVIE", "as_text": "MOVIE", "count": 2}],
        ),
        ("content_type,genres!inner(),count()&order=content_type", [{"content_type": "MOVIE", "count": 2}]),
        ("title.min(),last:title.max()", [{"min": "Anna", "last": "Circle, The"}]),
        ("duration.count()&id=is.null", [{"count": 0}]),
        ("duration.sum()&id=is.null", [{"sum": None}]),
        ("content_type,count()&id=is.null", []),
    ],
)
async def test_rows_are_summed_by_what_else_is_selected(shop: Shop, query: str, rows: list[dict[str, object]]) -> None:
    shop.viewer = MARA
    assert await shop.rows(f"/contents?select={query}") == rows


async def test_sums_are_right_with_casts_on_either_side_and_inside_embeds(shop: Shop) -> None:
    shop.viewer = MARA
    lengths = [row["duration"] for row in await shop.rows("/contents?select=duration") if row["duration"] is not None]
    (found,) = await shop.rows(
        "/contents?select=duration.sum(),duration.avg()::int,texts:duration::text.max(),given:duration.count()"
    )
    assert found["sum"] == (sum(lengths) if lengths else None)
    assert found["given"] == len(lengths)
    assert found["texts"] == (max(map(str, lengths)) if lengths else None)
    assert found["avg"] is None or abs(found["avg"] - sum(lengths) / len(lengths)) <= 0.5
    rows = await shop.rows("/contents?select=title,genres(title.max(),count())&order=title")
    assert [row["genres"] for row in rows] == [
        [{"max": "Drama", "count": 2}],
        [{"max": "Drama", "count": 1}],
        [{"max": None, "count": 0}],
    ]
    response = await shop.get("/contents?select=content_type,count()&order=content_type", Prefer="count=exact")
    assert response.status == 200
    assert response.headers["Content-Range"] == "0-1/*"


async def test_json_is_summed_by_where_it_is(own_shop: Shop) -> None:
    own_shop.viewer = STAFF
    for number, (amount, kind) in enumerate(((1, "a"), (2, "a"), (5, "b")), 900):
        body = orjson.dumps({"id": number, "data": {"kind": kind, "n": amount}})
        assert (await own_shop.send("POST", "/specimens", data=body, Content_Type="application/json")).status == 201
    rows = await own_shop.rows(
        "/specimens?select=data->>kind,n:data->>n::int.sum()&data->>kind=in.(a,b)&order=data->>kind"
    )
    assert rows == [{"kind": "a", "n": 3}, {"kind": "b", "n": 5}]


@pytest.mark.parametrize(
    "query",
    [
        "select=content_type,genres(title),count()",
        "select=content_type,...genres(title),count()",
        "select=...genres(count())",
        "select=content_type,count()&order=title",
        "select=as_text:content_type::text,count()&order=content_type",
        "select=count()&order=count",
        "select=count(),count()&cursor=",
        "select=duration.median()",
        "select=duration.sum",
        "select=duration.sum(title)",
        "select=duration.sum()::money",
        "select=sum(duration)",
    ],
)
async def test_what_cannot_be_summed_is_refused(shop: Shop, query: str) -> None:
    shop.viewer = MARA
    status, code, _ = await shop.refused(f"/contents?{query}")
    assert (status, code) in {(400, "PS104"), (400, "PS202"), (400, "PS203")}


async def test_a_sum_of_what_has_none_is_a_bad_question(shop: Shop) -> None:
    shop.viewer = MARA
    for query in ("title.sum()", "is_free.avg()"):
        assert (await shop.refused(f"/contents?select={query}"))[0] == 400


async def test_guests_count_and_sum_nothing(shop: Shop) -> None:
    assert await shop.rows("/contents?select=count()") == [{"count": 3}]
    for query in ("duration.sum()", "title,genres(title.max())"):
        assert (await shop.refused(f"/contents?select={query}"))[0] == 401


async def test_a_spread_list_becomes_a_list_for_each_column(shop: Shop) -> None:
    rows = await shop.rows("/contents?select=title,...genres(genre:title,slug)&genres.order=title&order=title")
    assert rows == [
        {"title": "Anna", "genre": ["Comedy", "Drama"], "slug": ["comedy", "drama"]},
        {"title": "Brand (1992)", "genre": ["Drama"], "slug": ["drama"]},
        {"title": "Circle, The", "genre": [], "slug": []},
    ]
    only = await shop.rows(f"/contents?select=...content_genres(...genres(genre:title))&id=eq.{ANNA}")
    assert sorted(only[0]["genre"]) == ["Comedy", "Drama"]
