"""Reads over /rest/v1 as literal HTTP exchanges, by feature."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import dedicated
from core.viewer import GUEST, service
from tests.edge.rest_shop import ELSEWHERE, MARA, STAFF, Shop, own_shop, shop, shop_database

__all__ = ["own_shop", "shop", "shop_database"]

ANNA = "00000000-0000-7000-8000-000000000101"
BRAND = "00000000-0000-7000-8000-000000000102"
CIRCLE = "00000000-0000-7000-8000-000000000103"
FILMS = "00000000-0000-7000-8000-000000000401"


async def titles(shop: Shop, query: str, table: str = "contents") -> list[str]:
    """The first letters of the titles that a query finds, sorted."""
    return sorted(row["title"][0] for row in await shop.rows(f"/{table}?select=title&{query}"))


# Select


async def test_a_read_is_answered_with_status_headers_and_body(shop: Shop) -> None:
    response = await shop.get(f"/contents?select=id,title,duration&id=eq.{ANNA}")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Content-Range"] == "0-0/*"
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert await response.read() == b'[{"id":"%s","title":"Anna","duration":5400}]' % ANNA.encode()


@pytest.mark.parametrize(
    ("select", "row"),
    [
        ("title", {"title": "Anna"}),
        ("name:title,title", {"name": "Anna", "title": "Anna"}),
        ("title,title", {"title": "Anna"}),
        ("duration::text", {"duration": "5400"}),
        ("seconds:duration::text", {"seconds": "5400"}),
        ('"title"', {"title": "Anna"}),
        ('"the title":title', {"the title": "Anna"}),
        (" title , duration ", {"title": "Anna", "duration": 5400}),
        ("release_date,published_at", {"release_date": "2025-06-01", "published_at": "2026-01-01T00:00:00+00:00"}),
        ("title,genres(title)", {"title": "Anna", "genres": [{"title": "Drama"}, {"title": "Comedy"}]}),
        ("shelf:genres(name:title)", {"shelf": [{"name": "Drama"}, {"name": "Comedy"}]}),
        ("title,content_prices(price)", {"title": "Anna", "content_prices": []}),
        ("generations!contents__generation_exists(height)", {"generations": {"height": 1080}}),
        ("generations!generation_id(height)", {"generations": {"height": 1080}}),
        ("generation_id(height)", {"generation_id": {"height": 1080}}),
        ("contents__generation_exists(height)", {"contents__generation_exists": {"height": 1080}}),
        ("generations!generations_content_id_fkey(number)", {"generations": [{"number": 1}, {"number": 2}]}),
        ("generations!content_id(number)", {"generations": [{"number": 1}, {"number": 2}]}),
        (
            "now:generations!generation_id(height),all:generations!content_id(number)",
            {"now": {"height": 1080}, "all": [{"number": 1}, {"number": 2}]},
        ),
        ("title,...generations!generation_id(height,ms:duration_ms)", {"title": "Anna", "height": 1080, "ms": 5399000}),
        (
            "content_genres(genres(title))",
            {"content_genres": [{"genres": {"title": "Drama"}}, {"genres": {"title": "Comedy"}}]},
        ),
        ("content_genres(...genres(title))", {"content_genres": [{"title": "Drama"}, {"title": "Comedy"}]}),
        ("title,..generations!generation_id(height)", {"title": "Anna", "height": 1080}),
        ("title,genres()", {"title": "Anna"}),
    ],
)
async def test_a_select_shapes_the_row(shop: Shop, select: str, row: dict[str, Any]) -> None:
    shop.viewer = service()
    assert await shop.rows(f"/contents?id=eq.{ANNA}&select={quote(select)}") == [row]


async def test_a_star_gives_every_column_that_is_not_hidden(shop: Shop) -> None:
    rows = await shop.rows("/specimens?id=eq.1")
    assert rows == await shop.rows("/specimens?id=eq.1&select=*") == await shop.rows("/specimens?id=eq.1&select=")
    assert list(rows[0]) == ["id", "data", "plain", "tags", "span", "amount", 'odd name"x']


async def test_a_hidden_column_cannot_be_selected_filtered_or_sorted_by(shop: Shop) -> None:
    for query in ("select=secret", "secret=eq.hush", "order=secret", "or=(secret.eq.hush,id.eq.1)"):
        assert (await shop.refused(f"/specimens?{query}"))[:2] == (400, "PS202")


async def test_a_quoted_name_reaches_the_column_it_names(shop: Shop) -> None:
    name = quote('"odd name\\"x"')
    assert await shop.rows(f"/specimens?select={name}&{name}=eq.odd") == [{'odd name"x': "odd"}]


@pytest.mark.parametrize(
    ("select", "row"),
    [
        ("data->a", {"a": {"b": [10, 20]}}),
        ("data->a->b->0", {"b": 10}),
        ("data->a->b->-1", {"b": 20}),
        ("data->>name", {"name": "one"}),
        ("n:data->a->b->>1", {"n": "20"}),
        ("data->a->b->>1::int", {"b": 20}),
        ("plain->a", {"a": 1}),
        ("data->missing->more", {"more": None}),
    ],
)
async def test_json_paths(shop: Shop, select: str, row: dict[str, Any]) -> None:
    assert await shop.rows(f"/specimens?id=eq.1&select={quote(select)}") == [row]


async def test_a_table_that_points_at_itself_gives_children_by_its_name_and_the_parent_by_the_column(
    shop: Shop,
) -> None:
    rows = await shop.rows(f"/categories?select=title,parent_id(title),categories(title)&id=eq.{FILMS}")
    assert rows == [{"title": "Films", "parent_id": None, "categories": [{"title": "Nordic"}]}]


# Filters


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("title=eq.Anna", "A"),
        ("title=not.eq.Anna", "BC"),
        ("title=neq.Anna", "BC"),
        ("duration=gt.5400", "B"),
        ("duration=gte.5400", "AB"),
        ("duration=lt.5400", "C"),
        ("duration=lte.5400", "AC"),
        ("title=like.*n*", "AB"),
        ("title=like.A%25", "A"),
        ("title=ilike.a*", "A"),
        ("title=not.ilike.a*", "BC"),
        ("title=match.^[AB]", "AB"),
        ("title=imatch.^a", "A"),
        ("title=in.(Anna,Nobody)", "A"),
        ("title=not.in.(Anna,Nobody)", "BC"),
        ('title=in.("Circle, The",Anna)', "AC"),
        ('title=in.("Brand (1992)")', "B"),
        ("title=in.()", ""),
        ("content_type=eq.MOVIE", "AB"),
        ("content_type=in.(MOVIE,EPISODE)", "ABC"),
        ("description=is.null", "B"),
        ("description=not.is.null", "AC"),
        ("description=is.not_null", "AC"),
        ("is_free=is.true", "A"),
        ("is_free=is.FALSE", "BC"),
        ("is_free=eq.true", "A"),
        ("is_free=is.unknown", ""),
        ("description=isdistinct.Running dogs", "AB"),
        ("description=not.isdistinct.Running dogs", "C"),
        ('description=eq.A quiet film, set in "Bergen"', "A"),
        ("published_at=gte.2026-01-02T00:00:00+00:00".replace("+", "%2B"), "BC"),
        ("release_date=lt.2025-01-01", "B"),
        ('title=eq(any).{Anna,"Circle, The"}', "AC"),
        ("title=like(any).{A*,B*}", "AB"),
        ("title=like(all).{*n*,A*}", "A"),
        ("duration=gt(all).{1000,6000}", "B"),
        ("title=not.like(any).{A*,B*}", "C"),
        ("description=fts(english).dog", "C"),
        ("description=fts.dogs", "C"),
        ("description=plfts(english).the quiet films", "A"),
        ("description=phfts(english).quiet film", "A"),
        ("description=wfts(english).quiet -dog", "A"),
        ("description=not.wfts(english).dog", "A"),
        ("and=(duration.gt.1500,duration.lt.7000)", "A"),
        ('or=(title.eq.Anna,title.eq."Circle, The")', "AC"),
        ("or=(title.eq.Anna,and(duration.gt.7000,is_free.is.false))", "AB"),
        ("not.or=(title.eq.Anna,duration.gt.7000)", "C"),
        ("not.and=(title.eq.Anna,duration.gt.1)", "BC"),
        ("or=(not.and(duration.gte.1500,duration.lte.5400),title.in.(Anna))", "AB"),
        ('or=(title.not.in.(Anna,"Brand (1992)"),description.fts(english).quiet)', "AC"),
        ("or=(title.like(any).{A*,C*},id.is.null)", "AC"),
        ("or=( title.eq.Anna, title.eq.Nobody)", "A"),
        ('or=(title.eq."Brand (1992)",title.eq."\\\\")', "B"),
        ("title=eq.Anna&duration=gt.6000", ""),
        ("columns=x&on_conflict=y&apikey=z", "ABC"),
    ],
)
async def test_filters_choose_the_rows(shop: Shop, query: str, found: str) -> None:
    assert "".join(await titles(shop, query.replace(" ", "%20").replace('"', "%22"))) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tags=cs.{y}", [1, 2]),
        ('tags=cs.{"z,1"}', [2]),
        ("tags=cd.{x,y,w}", [1]),
        ("tags=ov.{x,q}", [1]),
        ('data=cs.{"name":"one"}', [1]),
        ("data->a->b=cs.[10]", [1]),
        ("data->>name=eq.two", [2]),
        ("data->>name=in.(one,two)", [1, 2]),
        ('data->name=eq."one"', [1]),
        ("data->a->b->0=gt.5", [1]),
        ("plain->a=eq.2", [2]),
        ("data->a=is.null", [2, 3]),
        ("data->>name=like.t*", [2]),
        ("span=cs.5", None),
        ("span=cs.[5,6)", [1]),
        ("span=ov.[9,11)", [1, 2]),
        ("span=sl.[10,20)", [1]),
        ("span=sr.[1,10)", [2]),
        ("span=nxr.[1,10)", [1]),
        ("span=nxl.[10,20)", [2]),
        ("span=adj.[10,20)", [1]),
        ("or=(tags.cs.{x,y},data->>name.eq.two)", [1, 2]),
        ("amount=eq.1.25", [1]),
        ("amount=eq.1.250001", []),
        ("plain=eq.1", None),
        ("order=plain", None),
    ],
)
async def test_filters_on_arrays_json_and_ranges(shop: Shop, query: str, found: list[int] | None) -> None:
    path = "/specimens?select=id&" + quote(query, safe="=&().,-*")
    if found is None:
        assert (await shop.refused(path))[0] == 400
    else:
        assert [row["id"] for row in await shop.rows(path)] == found


# Embedded resources


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select=title,genres(title)&genres.title=eq.Comedy", {"A": ["Comedy"], "B": [], "C": []}),
        ("select=title,genres!left(title)&genres.title=eq.Comedy", {"A": ["Comedy"], "B": [], "C": []}),
        ("select=title,genres!inner(title)&genres.title=eq.Comedy", {"A": ["Comedy"]}),
        ("select=title,genres!inner(title)", {"A": ["Drama", "Comedy"], "B": ["Drama"]}),
        ("select=title,genres!content_genres!inner(title)", {"A": ["Drama", "Comedy"], "B": ["Drama"]}),
        ("select=title,genres(title)&genres=not.is.null", {"A": ["Drama", "Comedy"], "B": ["Drama"]}),
        ("select=title,genres(title)&genres=is.null", {"C": []}),
        ("select=title,genres(title)&or=(genres.is.null,title.eq.Anna)", {"A": ["Drama", "Comedy"], "C": []}),
        (
            "select=title,genres(title)&genres.or=(title.eq.Drama,title.eq.Horror)",
            {"A": ["Drama"], "B": ["Drama"], "C": []},
        ),
        (
            "select=title,genres(title)&genres.not.or=(title.eq.Drama,title.eq.Horror)",
            {"A": ["Comedy"], "B": [], "C": []},
        ),
        ("select=title,genres(title)&genres.order=title", {"A": ["Comedy", "Drama"], "B": ["Drama"], "C": []}),
        ("select=title,genres(title)&genres.order=title&genres.limit=1", {"A": ["Comedy"], "B": ["Drama"], "C": []}),
        (
            "select=title,genres(title)&genres.order=title&genres.limit=1&genres.offset=1",
            {"A": ["Drama"], "B": [], "C": []},
        ),
    ],
)
async def test_embeds_are_filtered_ordered_and_cut_by_themselves(
    shop: Shop, query: str, expected: dict[str, list[str]]
) -> None:
    rows = await shop.rows(f"/contents?{query}")
    assert {row["title"][0]: [genre["title"] for genre in row["genres"]] for row in rows} == expected


@pytest.mark.rule("streaming-035")
async def test_genres_and_contents_hold_several_of_each_other(shop: Shop) -> None:
    drama = await shop.rows("/genres?select=title,contents(title)&title=eq.Drama&contents.order=title")
    assert drama == [{"title": "Drama", "contents": [{"title": "Anna"}, {"title": "Brand (1992)"}]}]
    anna = await shop.rows(f"/contents?select=genres(title)&id=eq.{ANNA}&genres.order=title")
    assert anna == [{"genres": [{"title": "Comedy"}, {"title": "Drama"}]}]


async def test_an_alias_names_the_embed_in_filters(shop: Shop) -> None:
    rows = await shop.rows(
        "/contents?select=title,a:genres!inner(title),b:genres(title)&a.title=eq.Comedy&b.title=eq.Drama"
    )
    assert rows == [{"title": "Anna", "a": [{"title": "Comedy"}], "b": [{"title": "Drama"}]}]


async def test_an_inner_join_inside_an_inner_join_reaches_the_top(shop: Shop) -> None:
    path = "/playlists?select=title,playlist_episodes!inner(contents!inner(title))&playlist_episodes.contents.title=eq."
    assert await shop.rows(path + "Anna") == []
    assert await shop.rows(path + "Circle,%20The") == [
        {"title": "The Circle", "playlist_episodes": [{"contents": {"title": "Circle, The"}}]}
    ]


async def test_a_junction_that_is_more_than_its_keys_must_be_named(shop: Shop) -> None:
    status, code, body = await shop.refused("/contents?select=title,playlists(title)")
    assert (status, code) == (400, "PS203")
    assert "playlist_episodes(playlists(...))" in body["hint"]
    rows = await shop.rows(f"/contents?select=playlists!playlist_episodes(title)&id=eq.{CIRCLE}")
    assert rows == [{"playlists": [{"title": "The Circle"}]}]


async def test_an_ambiguous_embed_lists_its_candidates(shop: Shop) -> None:
    status, code, body = await shop.refused("/contents?select=title,generations(height)")
    assert (status, code) == (300, "PS204")
    assert body["candidates"] == [
        "generations!contents__generation_exists (many-to-one)",
        "generations!generations_content_id_fkey (one-to-many)",
    ]


# Order, window, count


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("order=title", "ABC"),
        ("order=title.desc", "CBA"),
        ("order=duration.asc", "CAB"),
        ("order=release_date", "BAC"),
        ("order=release_date.nullsfirst", "CBA"),
        ("order=release_date.desc.nullslast", "ABC"),
        ("order=content_type.desc,title.desc", "CBA"),
        ("order=generation_id(height).desc.nullslast,title.desc&select=title,generation_id(height)", "ACB"),
        ("order=title&limit=2", "AB"),
        ("order=title&limit=2&offset=1", "BC"),
        ("order=title&limit=0", ""),
        ("order=title&limit=99999999999", "ABC"),
    ],
)
async def test_order_and_limit(shop: Shop, query: str, order: str) -> None:
    path = "/contents?" + (query if "select" in query else f"select=title&{query}")
    assert "".join(row["title"][0] for row in await shop.rows(path)) == order


@pytest.mark.parametrize(
    ("query", "headers", "status", "content_range"),
    [
        ("", {}, 200, "0-2/*"),
        ("limit=2", {}, 200, "0-1/*"),
        ("limit=2", {"Prefer": "count=exact"}, 206, "0-1/3"),
        ("limit=2&offset=1", {"Prefer": "count=exact"}, 206, "1-2/3"),
        ("", {"Prefer": "count=exact"}, 200, "0-2/3"),
        ("offset=3", {"Prefer": "count=exact"}, 206, "*/3"),
        ("title=eq.Nobody", {"Prefer": "count=exact"}, 200, "*/0"),
        ("title=eq.Nobody", {}, 200, "*/*"),
        ("genres.title=eq.Comedy&select=genres!inner()", {"Prefer": "count=exact"}, 200, "0-0/1"),
        ("", {"Range": "0-1", "Range-Unit": "items", "Prefer": "count=exact"}, 206, "0-1/3"),
        ("", {"Range": "1-", "Prefer": "count=exact"}, 206, "1-2/3"),
        ("", {"Range": "items=1-1"}, 200, "1-1/*"),
        ("limit=1&offset=1", {"Range": "0-9"}, 200, "1-1/*"),
        ("", {"Range": "bytes=0-1"}, 200, "0-2/*"),
        ("", {"Range": "0-1", "Range-Unit": "bytes"}, 200, "0-2/*"),
        ("limit=2", {"Prefer": "count=estimated"}, 206, "0-1/3"),
    ],
)
async def test_content_range(shop: Shop, query: str, headers: dict[str, str], status: int, content_range: str) -> None:
    response = await shop.get(f"/contents?{query}", **headers)
    assert (response.status, response.headers["Content-Range"]) == (status, content_range)


async def test_an_offset_beyond_the_counted_end_is_refused(shop: Shop) -> None:
    response = await shop.get("/contents?offset=7", Prefer="count=exact")
    assert (response.status, response.headers["Content-Range"]) == (416, "*/3")
    body = orjson.loads(await response.read())
    assert (body["code"], body["details"]) == ("PS111", "An offset of 7 was requested, but there are only 3 rows.")


async def test_a_planned_count_is_the_planners_and_never_below_what_was_given(shop: Shop) -> None:
    shop.viewer = service()
    response = await shop.get("/specimens", Prefer="count=planned")
    assert response.headers["Preference-Applied"] == "count=planned"
    assert int(response.headers["Content-Range"].split("/")[1]) >= 3


# Negotiation


async def test_one_object_is_given_as_an_object(shop: Shop) -> None:
    response = await shop.get(f"/contents?select=title&id=eq.{ANNA}", Accept="application/vnd.pgrst.object+json")
    assert response.headers["Content-Type"] == "application/vnd.pgrst.object+json; charset=utf-8"
    assert await response.read() == b'{"title":"Anna"}'


@pytest.mark.parametrize(("query", "rows"), [("title=eq.Nobody", 0), ("", 3)])
async def test_not_exactly_one_object_is_refused(shop: Shop, query: str, rows: int) -> None:
    status, code, body = await shop.refused(f"/contents?{query}", Accept="application/vnd.pgrst.object+json")
    assert (status, code, body["details"]) == (406, "PS206", f"The result contains {rows} rows")


async def test_nulls_are_left_out_when_asked(shop: Shop) -> None:
    accept = "application/vnd.pgrst.array+json;nulls=stripped"
    assert await shop.rows(f"/contents?select=title,description&id=eq.{BRAND}", Accept=accept) == [
        {"title": "Brand (1992)"}
    ]


async def test_csv_quotes_what_csv_must_quote(shop: Shop) -> None:
    response = await shop.get("/contents?select=title,description,%22a,b%22:duration&order=title", Accept="text/csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert (await response.read()).decode() == (
        'title,description,"a,b"\r\n'
        '"Anna","A quiet film, set in ""Bergen""","5400"\r\n'
        '"Brand (1992)",,"7200"\r\n'
        '"Circle, The","Running dogs","1500"\r\n'
    )
    empty = await shop.get("/contents?select=title&title=eq.Nobody", Accept="text/csv")
    assert await empty.read() == b"title\r\n"


async def test_a_type_that_cannot_be_given_is_refused(shop: Shop) -> None:
    assert (await shop.refused("/contents", Accept="image/png"))[:2] == (406, "PS110")
    assert (await shop.refused("/contents", Accept="application/json;q=0"))[:2] == (406, "PS110")
    response = await shop.get("/contents?select=title", Accept="application/json;q=0.5, text/csv")
    assert response.headers["Content-Type"].startswith("text/csv")


async def test_the_same_answer_is_not_sent_twice(shop: Shop) -> None:
    first = await shop.get("/contents?select=title")
    again = await shop.get("/contents?select=title", If_None_Match=f'"x", {first.headers["ETag"]}')
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    other = await shop.get("/contents?select=title&limit=2", If_None_Match=first.headers["ETag"])
    assert other.status == 200


async def test_strict_handling_refuses_an_unknown_preference_and_lenient_ignores_it(shop: Shop) -> None:
    status, code, body = await shop.refused("/contents", Prefer="handling=strict, count=exact, colour=blue")
    assert (status, code, body["details"]) == (400, "PS109", "Invalid: colour=blue")
    response = await shop.get("/contents", Prefer="colour=blue, count=exact")
    assert (response.status, response.headers["Preference-Applied"]) == (200, "count=exact")


# Methods and tables


async def test_head_has_the_headers_of_get_and_no_body(shop: Shop) -> None:
    response = await shop.send("HEAD", "/contents?select=title", Prefer="count=exact")
    assert (response.status, response.headers["Content-Range"], await response.read()) == (200, "0-2/3", b"")


async def test_the_root_lists_the_tables(shop: Shop) -> None:
    tables = {table["name"]: table for table in (await shop.rows("/"))["tables"]}
    assert {"contents", "genres", "user_library", "user_profiles", "transcode_jobs", "watch_progress"} <= tables.keys()
    assert not {"accounts", "verifications", "refresh_tokens", "streaming_tokens"} & tables.keys()
    assert "secret" not in {column["name"] for column in tables["specimens"]["columns"]}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
async def test_a_table_that_is_not_served_does_not_exist(shop: Shop, method: str) -> None:
    shop.viewer = service()
    for table in ("verifications", "accounts", "pg_class", "content", "no%20such", "%22contents%22", "a%00b"):
        assert (await shop.send(method, f"/{table}")).status == 404


# Refusals


@pytest.mark.parametrize(
    ("query", "status", "code", "path"),
    [
        ("select=titl", 400, "PS202", "select"),
        ("titel=eq.x", 400, "PS202", "titel"),
        ("order=titel", 400, "PS202", "order"),
        ("title=Anna", 400, "PS104", "title"),
        ("title=eq", 400, "PS104", "title"),
        ("title=lik.x", 400, "PS104", "title"),
        ("title=is.maybe", 400, "PS104", "title"),
        ("title=is.true", 400, "PS104", "title"),
        ("title=in.Anna", 400, "PS104", "title"),
        ("title=in.(Anna", 400, "PS104", "title"),
        ("title=in.(Anna)x", 400, "PS104", "title"),
        ("title=eq(some).{x}", 400, "PS104", "title"),
        ("title=neq(any).{x}", 400, "PS104", "title"),
        ("title=in(any).(x)", 400, "PS104", "title"),
        ("title=eq.%00", 400, "PS104", "title"),
        ("title=eq.%ff", 400, "PS104", "query"),
        ("id=like.0*", 400, "PS104", "id"),
        ("title=cs.{x}", 400, "PS104", "title"),
        ("duration=sl.[1,2)", 400, "PS104", "duration"),
        ("title->x=eq.1", 400, "PS104", "title->x"),
        ("id=eq.7", 400, "PS505", "id"),
        ("duration=eq.99999999999999999999", 400, "PS505", "duration"),
        ("content_type=eq.FILM", 400, "PS505", "content_type"),
        ("title=match.(", 400, "PS505", "title"),
        ("title=eq(any).x", 400, "PS505", "title"),
        ("description=fts.(", 400, "PS104", "description"),
        ("description=fts(klingon).x", 400, "PS104", "description"),
        ("select=title::int", 400, "PS505", "select"),
        ("select=is_free::date", 400, "PS104", "select"),
        ("select=title::regclass", 400, "PS104", "select"),
        ("select=title,", 400, "PS104", "select"),
        ("select=title)", 400, "PS104", "select"),
        ("select=genres(title", 400, "PS104", "select"),
        ("select=duration.median()", 400, "PS104", "select"),
        ("select=title,title:duration", 400, "PS104", "select"),
        ("select=genres(title),genres(id)", 400, "PS104", "select"),
        ("select=genres:title,genres(id)", 400, "PS104", "select"),
        ("select=watch_progres(id)", 400, "PS203", "select"),
        ("select=genres!nope(id)", 400, "PS203", "select"),
        ("select=genres!a!b(id)", 400, "PS104", "select"),
        ("select=" + "a" * 64 + ":title", 400, "PS104", "select"),
        ("select=title&select=id", 400, "PS104", "select"),
        ("genres.title=eq.Drama", 400, "PS104", "genres"),
        ("genres.order=title", 400, "PS104", "genres"),
        ("order=genres(title)&select=genres(title)", 400, "PS104", "order"),
        ("order=genres(title)", 400, "PS104", "order"),
        ("order=title.up", 400, "PS104", "order"),
        ("order=title&order=id", 400, "PS104", "order"),
        ("order=title'--", 400, "PS104", "order"),
        ("limit=ten", 400, "PS104", "limit"),
        ("limit=1e3", 400, "PS104", "limit"),
        ("limit=-1", 416, "PS111", "limit"),
        ("offset=-1", 416, "PS111", "offset"),
        ("or=", 400, "PS104", "or"),
        ("or=()", 400, "PS104", "or"),
        ("or=(title)", 400, "PS104", "or"),
        ("or=(title.eq.a", 400, "PS104", "or"),
        ("or=(title.eq.a))", 400, "PS104", "or"),
        ("or=" + "(and" * 6 + "(id.is.null" + ")" * 7, 400, "PS104", "or"),
        ("&".join(["id=is.null"] * 51), 400, "PS104", "query"),
        ("select=" + "content_genres(contents(" * 3 + "id" + "))" * 3, 400, "PS104", "select"),
        ("select=" + ",".join(f"a{n}:genres()" for n in range(26)), 400, "PS104", "select"),
        ("select=" + ",".join(f"a{n}:id" for n in range(251)), 400, "PS104", "select"),
    ],
)
async def test_refusals_name_the_parameter(shop: Shop, query: str, status: int, code: str, path: str | None) -> None:
    found_status, found_code, body = await shop.refused(f"/contents?{query}")
    assert (found_status, found_code) == (status, code), body
    assert "syntax error at or near" not in body["message"]
    if path is not None:
        assert body["fields"][0]["path"] == path


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("title=eq.x&id=eq.x&genres.id=eq.x&select=genres(id)", ["id", "genres.id"]),
        ("title=eq.x&or=(title.eq.x,not.and(id.eq.x,duration.gt.5))", ["or"]),
        ("id=in.(7,00000000-0000-7000-8000-000000000101)&duration=gt.7", ["id"]),
        ("duration=eq(any).{1,x}&title=eq(any).{x}", ["duration"]),
        ("release_date=eq.2026-13-45&title=eq.2026-13-45", ["release_date"]),
        ("published_at=gt.soon&title=eq.soon", ["published_at"]),
        ("title=eq.(&description=match.(", ["description"]),
        ("title=match.a&description=like.*%5C", ["description"]),
        ("title=eq.klingon&description=not.wfts(klingon).x", ["description"]),
        ("select=title::int&duration=gt.5", ["select"]),
        ("select=title.sum()", ["select"]),
        ("select=duration,genres(title::int)&id=eq.00000000-0000-7000-8000-000000000101", ["select"]),
    ],
)
async def test_a_value_that_cannot_be_read_is_named_by_its_parameter(shop: Shop, query: str, paths: list[str]) -> None:
    shop.viewer = STAFF
    status, code, body = await shop.refused(f"/contents?{query}")
    assert (status, code in ("PS505", "PS104")) == (400, True), body
    assert [fault["path"] for fault in body["fields"]] == paths, body
    assert body["message"].startswith(f"{paths[0]}: ")


async def test_of_json_arrays_and_ranges_too(shop: Shop) -> None:
    for query, path in (
        ("data=cs.%7Bbad&plain->>a=eq.1", "data"),
        ("span=ov.[9,1)&amount=eq.1", "span"),
        ("span=eq.x", "span"),
        ("amount=eq.x&tags=cs.%7Bx%7D", "amount"),
        ("tags=cs.%7Bx&span=is.null", "tags"),
        ("order=plain", "order"),
        ("data->a=gt.x", "data->a"),
    ):
        _, _, body = await shop.refused(f"/specimens?{query}")
        assert [fault["path"] for fault in body["fields"]] == [path], (query, body)


async def test_a_range_that_ends_before_it_starts_is_refused(shop: Shop) -> None:
    assert (await shop.refused("/contents", Range="5-2"))[:2] == (416, "PS111")
    assert (await shop.refused("/contents?limit=2", Range="5-9"))[:2] == (416, "PS111")


async def test_a_name_that_is_nearly_right_is_hinted_at(shop: Shop) -> None:
    assert (await shop.refused("/content"))[2]["hint"] == "Perhaps you meant contents."
    assert (await shop.refused("/contents?titel=eq.x"))[2]["hint"] == "Perhaps you meant title."
    assert (await shop.refused("/contents?select=genre(id)"))[2]["hint"] == "Perhaps you meant genres."


# Who sees what


@pytest.mark.rule("streaming-029")
async def test_row_level_security_decides_the_rows(shop: Shop) -> None:
    path = "/contents?select=title&order=title"
    seen = {}
    for name, viewer in (("guest", GUEST), ("mara", MARA), ("staff", STAFF), ("elsewhere", ELSEWHERE)):
        shop.viewer = viewer
        seen[name] = "".join(row["title"][0] for row in await shop.rows(path))
    assert seen == {"guest": "ABC", "mara": "ABC", "staff": "ABCD", "elsewhere": "E"}


async def test_a_library_is_seen_by_its_owner_and_by_staff(shop: Shop) -> None:
    counts = {}
    for name, viewer in (("guest", GUEST), ("mara", MARA), ("staff", STAFF), ("elsewhere", ELSEWHERE)):
        shop.viewer = viewer
        counts[name] = len(await shop.rows("/user_library?select=*,contents(title),orders(total_amount)"))
    assert counts == {"guest": 0, "mara": 1, "staff": 2, "elsewhere": 0}


async def test_an_embed_obeys_the_policy_of_its_own_table(shop: Shop) -> None:
    rows = await shop.rows("/contents?select=title,user_library(id)&order=title")
    assert [row["user_library"] for row in rows] == [[], [], []]
    assert await shop.rows("/contents?select=title,user_library()&user_library=not.is.null") == []
    shop.viewer = MARA
    assert len(await shop.rows("/contents?select=title,user_library!inner(id)")) == 1


async def test_a_count_counts_only_what_the_viewer_sees(shop: Shop) -> None:
    shop.viewer = ELSEWHERE
    response = await shop.get("/contents?select=title", Prefer="count=exact")
    assert response.headers["Content-Range"] == "0-0/1"


async def test_the_schema_is_read_again_when_the_database_has_changed(own_shop: Shop) -> None:
    shop = own_shop
    assert await shop.rows("/specimens?select=id,amount&id=eq.1") == [{"id": 1, "amount": 1.25}]
    admin = await dedicated(shop.admin_url)
    await admin.execute(
        "ALTER TABLE specimens DROP COLUMN amount; ALTER TABLE specimens ADD COLUMN fresh int DEFAULT 7"
    )
    await admin.close()
    assert (await shop.refused("/specimens?select=id,amount&id=eq.1"))[:2] == (400, "PS202")
    assert await shop.rows("/specimens?select=id,fresh&id=eq.1") == [{"id": 1, "fresh": 7}]


# Hostile input

_BITS = st.sampled_from(
    [
        *"().,:!*->'\"\\{}[]|&=%_$;/ \n\0é😀",
        "..",
        "->>",
        "::",
        "not.",
        "eq.",
        "in.(",
        "or(",
        "and(",
        "fts(english).",
        "is.null",
        "title",
        "id",
        "data",
        "duration",
        "genres",
        "genres(",
        "generations",
        "content_prices(",
        "!inner",
        "limit",
        "offset",
        "order",
        "select",
        ".desc",
        "nullsfirst",
        "like(any).",
        "cs.",
        "{a,b}",
        "0",
        "-1",
        "9" * 19,
        "count()",
        "text",
        "jsonb",
        "tags",
        "span",
        "sl.",
    ]
)
_TEXT = st.lists(_BITS | st.text(max_size=3), max_size=12).map("".join)
_SOUND = st.sampled_from(
    [
        ("select", "*"),
        ("select", "title:id,genres(*)"),
        ("order", "id.desc"),
        ("id", "is.null"),
        ("limit", "3"),
        ("or", "(id.is.null)"),
        ("genres.title", "eq.Drama"),
        ("id", "in.(1,2)"),
        ("data", "cs.{}"),
        ("title", "wfts.a"),
    ]
)
_PAIR = _SOUND | st.tuples(
    st.sampled_from(
        ["select", "order", "title", "id", "data", "or", "and", "not.or", "limit", "genres.title", "genres.order"]
    )
    | _TEXT,
    _TEXT
    | st.builds(
        "{}.{}".format, st.sampled_from(["eq", "not.in", "like", "fts", "cs", "is", "gt", "match", "wfts"]), _TEXT
    ),
)


async def test_no_query_string_is_ever_an_error_of_ours(shop: Shop) -> None:
    queries: list[str] = []

    @settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(["contents", "specimens"]), st.lists(_PAIR, min_size=1, max_size=3), st.booleans())
    def collect(table: str, pairs: list[tuple[str, str]], has_embed: bool) -> None:
        query = "&".join(f"{quote(key, errors='replace')}={quote(value, errors='replace')}" for key, value in pairs)
        extra = "&select=*,genres(*)" if has_embed and table == "contents" and "select=" not in query else ""
        queries.append(f"/{table}?{query}{extra}")

    collect()
    statuses: dict[int, int] = {}
    for path in queries:
        response = await shop.get(path)
        body = await response.read()
        assert response.status < 500, (path, body)
        assert b"syntax error at or near" not in body, (path, body)
        statuses[response.status] = statuses.get(response.status, 0) + 1
    assert statuses[200] > 20
    assert statuses[400] > 20
