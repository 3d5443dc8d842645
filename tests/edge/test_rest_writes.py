"""Writes over /rest/v1 as literal HTTP exchanges, by feature."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from aiohttp import ClientResponse

from core.viewer import GUEST, Viewer
from tests.edge.rest_shop import ELSEWHERE, MARA, OTHER_TENANT, STAFF, Shop, own_shop, shop, shop_database

__all__ = ["own_shop", "shop", "shop_database"]

ANNA = "00000000-0000-7000-8000-000000000101"
BRAND = "00000000-0000-7000-8000-000000000102"
CIRCLE = "00000000-0000-7000-8000-000000000103"
DRAMA = "00000000-0000-7000-8000-000000000201"
HORROR = "00000000-0000-7000-8000-000000000203"
REPRESENTATION = "return=representation"


@pytest.fixture
async def studio(own_shop: Shop) -> Shop:
    """A shop of the test's own, asked by staff."""
    own_shop.viewer = STAFF
    return own_shop


async def send(shop: Shop, method: str, path: str, body: object = None, **headers: str) -> ClientResponse:
    data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
    return await shop.send(method, path, data=data, **{"Content_Type": "application/json", **headers})


async def written(shop: Shop, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    response = await send(shop, method, path, body, **{"Prefer": REPRESENTATION, **headers})
    return response.status, orjson.loads(await response.read())


async def code(shop: Shop, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    response = await send(shop, method, path, body, **headers)
    return response.status, orjson.loads(await response.read())["code"]


async def genres(shop: Shop) -> list[str]:
    return [row["title"] for row in await shop.rows("/genres?select=title&order=title")]


# Insert


async def test_a_row_is_made_and_nothing_is_said_about_it(studio: Shop) -> None:
    response = await send(studio, "POST", "/genres", {"title": "Noir", "slug": "noir"})
    assert (response.status, await response.read()) == (201, b"")
    assert response.headers["Content-Range"] == "*/*"
    assert "Preference-Applied" not in response.headers
    assert await genres(studio) == ["Comedy", "Drama", "Horror", "Noir"]


async def test_a_row_is_given_back_with_its_embeds_and_defaults(studio: Shop) -> None:
    status, rows = await written(
        studio,
        "POST",
        "/categories?select=title,slug,id,parent_id(title)",
        {"title": "Fjords", "parent_id": "00000000-0000-7000-8000-000000000401"},
    )
    assert status == 201
    assert UUID(rows[0].pop("id")).version == 7
    assert rows == [{"title": "Fjords", "slug": None, "parent_id": {"title": "Films"}}]


@pytest.mark.rule("streaming-027")
async def test_a_new_content_is_available_unpublished_and_unseen(studio: Shop) -> None:
    _, rows = await written(
        studio,
        "POST",
        "/contents?select=is_published,is_available,view_count,published_at",
        {"title": "New", "content_type": "MOVIE"},
    )
    assert rows == [{"is_published": False, "is_available": True, "view_count": 0, "published_at": None}]


@pytest.mark.rule("streaming-026")
async def test_a_content_is_of_a_known_type(studio: Shop) -> None:
    for kind in ("MOVIE", "SERIES", "EPISODE", "MUSIC"):
        assert (await send(studio, "POST", "/contents", {"title": kind, "content_type": kind})).status == 201
    assert await code(studio, "POST", "/contents", {"title": "x", "content_type": "FILM"}) == (400, "PS505")


async def test_only_the_headers_are_given_with_the_place_of_one_row(studio: Shop) -> None:
    response = await send(studio, "POST", "/genres", {"title": "Noir"}, Prefer="return=headers-only,count=exact")
    assert (response.status, await response.read()) == (201, b"")
    assert response.headers["Content-Range"] == "*/1"
    assert response.headers["Preference-Applied"] == "return=headers-only, count=exact"
    place = response.headers["Location"].removeprefix("/rest/v1")
    assert (await studio.rows(place))[0]["title"] == "Noir"
    many = await send(studio, "POST", "/genres", [{"title": "A"}, {"title": "B"}], Prefer="return=headers-only")
    assert "Location" not in many.headers


async def test_many_rows_are_made_at_once_or_none(studio: Shop) -> None:
    status, rows = await written(
        studio, "POST", "/genres?select=title&order=title.desc", [{"title": "A"}, {"title": "B"}, {"title": "C"}]
    )
    assert (status, [row["title"] for row in rows]) == (201, ["C", "B", "A"])
    bad = [{"title": "D", "slug": "d"}, {"title": "E", "slug": "drama"}]
    assert await code(studio, "POST", "/genres", bad) == (409, "PS501")
    assert "D" not in await genres(studio)


async def test_rows_of_different_keys_need_their_columns_named(studio: Shop) -> None:
    rows = [{"title": "A", "slug": "a"}, {"title": "B", "description": "b"}]
    assert await code(studio, "POST", "/genres", rows) == (422, "PS102")
    status, made = await written(
        studio, "POST", '/genres?columns="title","slug","description"&select=title,slug,description&order=title', rows
    )
    assert status == 201
    assert made == [
        {"title": "A", "slug": "a", "description": None},
        {"title": "B", "slug": None, "description": "b"},
    ]


async def test_columns_leave_out_what_they_do_not_name(studio: Shop) -> None:
    _, made = await written(
        studio, "POST", "/genres?columns=title&select=title,slug", {"title": "A", "slug": "a", "x": 1}
    )
    assert made == [{"title": "A", "slug": None}]


async def test_a_missing_value_is_null_or_the_default(studio: Shop) -> None:
    rows = [{"title": "A", "content_type": "MOVIE", "is_free": True}, {"title": "B", "content_type": "MOVIE"}]
    path = "/contents?columns=id,title,content_type,is_free&select=title,is_free&order=title"
    assert await code(studio, "POST", path, rows) == (400, "PS503")
    response = await send(studio, "POST", path, rows, Prefer="return=representation,missing=default")
    assert orjson.loads(await response.read()) == [{"title": "A", "is_free": True}, {"title": "B", "is_free": False}]
    assert response.headers["Preference-Applied"] == "missing=default, return=representation"
    made = await studio.rows("/contents?select=id&title=in.(A,B)")
    assert len({row["id"] for row in made}) == 2


async def test_csv_and_a_form_are_taken_as_rows(studio: Shop) -> None:
    text = b'title,slug,description\r\n"Neo, noir",neo,NULL\r\nWestern,,"a ""b"""\r\n'
    status, rows = await written(
        studio, "POST", "/genres?select=title,slug,description&order=title", text, Content_Type="text/csv"
    )
    assert status == 201
    assert rows == [
        {"title": "Neo, noir", "slug": "neo", "description": None},
        {"title": "Western", "slug": "", "description": 'a "b"'},
    ]
    form = "application/x-www-form-urlencoded"
    status, rows = await written(studio, "POST", "/genres?select=title", b"title=Sci%2DFi&slug=sf", Content_Type=form)
    assert (status, rows) == (201, [{"title": "Sci-Fi"}])


@pytest.mark.rule("edupeak-297")
@pytest.mark.parametrize(
    ("path", "body", "code", "message", "fields"),
    [
        ("/genres", {"title": ""}, "PS503", "A rule of the data is broken: title given.", ["title"]),
        ("/genres", {"title": "x", "description": None, "slug": "drama"}, "PS501", "That already exists.", ["slug"]),
        ("/genres", {"slug": "x"}, "PS503", "title: must be given", ["title"]),
        (
            "/categories",
            {"title": "x", "parent_id": ANNA},
            "PS502",
            "Something that does not exist is named, or something else still points here.",
            ["parent_id"],
        ),
        (
            "/categories",
            {"id": ANNA, "title": "x", "parent_id": ANNA},
            "PS503",
            "A rule of the data is broken: not own parent.",
            ["parent_id", "id"],
        ),
    ],
)
async def test_a_broken_rule_is_told_in_words_with_the_fields_it_is_about(
    studio: Shop, path: str, body: object, code: str, message: str, fields: list[str]
) -> None:
    status, said = await written(studio, "POST", path, body)
    assert (said["code"], said["message"]) == (code, message)
    assert [fault["path"] for fault in said["fields"]] == fields
    assert status in (400, 409)


async def test_of_a_rule_about_several_columns_those_that_were_sent_are_named(studio: Shop) -> None:
    body = {"name": "Larger posters", "start_date": "2026-02-01"}
    (made,) = (await written(studio, "POST", "/experiments?select=id,name", body))[1]
    assert made["name"] == "Larger posters"
    for sent, named in (
        ({"end_date": "2026-01-01"}, ["end_date"]),
        ({"end_date": "2026-01-01", "start_date": "2026-02-01"}, ["end_date", "start_date"]),
    ):
        _, said = await written(studio, "PATCH", f"/experiments?id=eq.{made['id']}", sent)
        assert said["message"] == "A rule of the data is broken: ends after start."
        assert sorted(fault["path"] for fault in said["fields"]) == named


async def test_nothing_sent_makes_nothing(studio: Shop) -> None:
    assert await written(studio, "POST", "/genres", []) == (201, [])
    assert await written(studio, "PATCH", f"/genres?id=eq.{DRAMA}", {}) == (200, [])
    assert await genres(studio) == ["Comedy", "Drama", "Horror"]


@pytest.mark.parametrize(
    ("table", "body", "paths"),
    [
        ("contents", {"title": "FILM", "content_type": "FILM"}, ["content_type"]),
        ("contents", {"title": "soon", "content_type": "MOVIE", "release_date": "soon"}, ["release_date"]),
        (
            "contents",
            [
                {"title": "x", "content_type": "MOVIE", "is_free": True, "release_date": "2026-01-01"},
                {"title": "y", "content_type": "MOVIE", "is_free": "perhaps", "release_date": None},
            ],
            ["[1].is_free"],
        ),
        (
            "genres",
            [{"title": f"{n}", "slug": f"s{n}", "id": "x"} for n in range(20)],
            [f"[{n}].id" for n in range(10)],
        ),
        ("genres", {"title": "a\0b", "slug": "ab"}, ["title"]),
        ("specimens", {"id": 9, "amount": 1e300}, ["amount"]),
        ("specimens", {"id": 99999999999, "amount": 1}, ["id"]),
        ("specimens", {"id": 1.5, "amount": 1.5}, ["id"]),
        ("specimens", {"id": 9, "span": "[9,1)", "amount": 1}, ["span"]),
        ("specimens", {"id": 9, "tags": {"a": 1}, "amount": 1}, ["tags"]),
        ("specimens", {"id": 9, "data": {"a": ["\0"]}, "plain": 1}, ["data"]),
    ],
)
async def test_a_value_that_does_not_fit_is_named_by_its_row_and_column(
    studio: Shop, table: str, body: object, paths: list[str]
) -> None:
    response = await send(studio, "POST", f"/{table}", body)
    said = orjson.loads(await response.read())
    assert (response.status, said["code"]) == (400, "PS505"), said
    assert [fault["path"] for fault in said["fields"]] == paths, said


async def test_a_condition_of_a_change_that_cannot_be_read_is_named(studio: Shop) -> None:
    for method, path, body, named in (
        ("PATCH", "/genres?id=eq.x&slug=eq.x", {"title": "x"}, "id"),
        ("DELETE", "/genres?slug=match.(", None, "slug"),
        ("PUT", "/genres?id=eq.x", {"id": "x", "title": "x", "slug": "x"}, "id"),
    ):
        response = await send(studio, method, path, body)
        said = orjson.loads(await response.read())
        assert (said["code"], [fault["path"] for fault in said["fields"]]) == ("PS505", [named]), said


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", f"/genres?id=eq.{DRAMA}", [{"title": "x"}, {"title": "y"}]),
        ("POST", "/genres", [{"title": "x"}, {"slug": "y"}]),
        ("POST", "/genres", [{}, {}]),
        ("PUT", f"/genres?id=eq.{DRAMA}", {"id": HORROR, "title": "x", "slug": "x"}),
    ],
)
async def test_a_body_of_the_wrong_shape_is_named(studio: Shop, method: str, path: str, body: object) -> None:
    response = await send(studio, method, path, body)
    said = orjson.loads(await response.read())
    assert (response.status, said["code"], said["fields"][0]["path"]) == (422, "PS102", "body"), said


@pytest.mark.rule("edupeak-297")
@pytest.mark.parametrize(
    ("body", "content_type", "answer"),
    [
        (b"{", "application/json", (400, "PS101")),
        (b"", "application/json", (400, "PS101")),
        (b"7", "application/json", (400, "PS101")),
        (b"[1]", "application/json", (400, "PS101")),
        (b'{"title": NaN}', "application/json", (400, "PS101")),
        (b'{"title": "\\u0000"}', "application/json", (400, "PS505")),
        (b'{"title": "\\ud800"}', "application/json", (400, "PS101")),
        (b'{"titel": "x"}', "application/json", (400, "PS202")),
        (b'{"title\\"": "x"}', "application/json", (400, "PS202")),
        (b'{"tenant_id": "x"}', "application/json", (403, "PS208")),
        (b'{"title": ""}', "application/json", (400, "PS503")),
        (b'{"title": null}', "application/json", (400, "PS503")),
        (b'{"title": "x", "slug": "drama"}', "application/json", (409, "PS501")),
        (b'{"title": "x", "slug": "%s"}' % (b"y" * 20000), "application/json", None),
        (b'{"id": 7}', "application/json", (400, "PS505")),
        (b"[" * 5000, "application/json", (400, "PS101")),
        (b"title\nx,y", "text/csv", (400, "PS109")),
        (b"title,title\nx,y", "text/csv", (400, "PS109")),
        (b'"title\nx', "text/csv", (400, "PS109")),
        (b"\xff", "text/csv", (400, "PS109")),
        (b"<a/>", "application/xml", (415, "PS108")),
        (orjson.dumps([{"title": "x"}] * 1001), "application/json", (400, "PS109")),
        (b'{"title": "%s"}' % (b"x" * 1024 * 1024), "application/json", (413, "PS103")),
    ],
)
async def test_a_bad_body_is_refused_and_changes_nothing(
    studio: Shop, body: bytes, content_type: str, answer: tuple[int, str] | None
) -> None:
    response = await send(studio, "POST", "/genres", body, Content_Type=content_type)
    said = await response.read()
    if answer is None:
        assert response.status in (201, 400)
        return
    assert (response.status, orjson.loads(said)["code"]) == answer, said
    assert await genres(studio) == ["Comedy", "Drama", "Horror"]


# Upsert


async def test_a_duplicate_is_merged_by_the_primary_key(studio: Shop) -> None:
    rows = [{"id": DRAMA, "title": "Serious"}, {"id": str(uuid4()), "title": "Fresh"}]
    prefer = "resolution=merge-duplicates,return=representation"
    status, made = await written(studio, "POST", "/genres?select=title,slug&order=title", rows, Prefer=prefer)
    assert (status, made) == (201, [{"title": "Fresh", "slug": None}, {"title": "Serious", "slug": "drama"}])
    status, made = await written(studio, "POST", "/genres?select=title", rows[:1], Prefer=prefer)
    assert (status, made) == (200, [{"title": "Serious"}])


@pytest.mark.rule("streaming-032")
async def test_a_duplicate_is_merged_or_ignored_by_another_key(studio: Shop) -> None:
    row = {"title": "Serious", "slug": "drama"}
    assert await code(studio, "POST", "/genres", row) == (409, "PS501")
    for target in ("slug", "tenant_id,slug"):
        path = f"/genres?on_conflict={target}&select=title"
        merged = await written(studio, "POST", path, row, Prefer="resolution=merge-duplicates,return=representation")
        assert merged == (200, [{"title": "Serious"}])
    row["title"] = "Other"
    ignored = await send(
        studio, "POST", "/genres?on_conflict=slug", row, Prefer="resolution=ignore-duplicates,return=representation"
    )
    assert (ignored.status, await ignored.read()) == (201, b"[]")
    assert ignored.headers["Preference-Applied"] == "resolution=ignore-duplicates, return=representation"
    assert await genres(studio) == ["Comedy", "Horror", "Serious"]


async def test_a_merge_that_cannot_be_is_refused(studio: Shop) -> None:
    merge = "resolution=merge-duplicates"
    twice = [{"title": "A", "slug": "x"}, {"title": "B", "slug": "x"}]
    assert await code(studio, "POST", "/genres?on_conflict=slug", twice, Prefer=merge) == (400, "PS503")
    assert await code(studio, "POST", "/genres?on_conflict=title", {"title": "A"}, Prefer=merge) == (400, "PS104")
    # The type of a content is given once: a merge would change it.
    row = {"id": ANNA, "title": "A", "content_type": "SERIES"}
    assert await code(studio, "POST", "/contents", row, Prefer=merge) == (403, "PS208")
    pair = {"content_id": ANNA, "genre_id": DRAMA}
    path = "/content_genres?on_conflict=content_id,genre_id"
    assert await code(studio, "POST", path, pair, Prefer=merge) == (405, "PS207")
    ignored = await send(studio, "POST", path, pair, Prefer="resolution=ignore-duplicates")
    assert ignored.status == 201


async def test_put_makes_or_replaces_one_row(studio: Shop) -> None:
    new = str(uuid4())
    path = f"/genres?id=eq.{new}"
    assert (await send(studio, "PUT", path, {"id": new, "title": "Noir", "slug": "noir"})).status == 201
    assert await written(studio, "PUT", f"{path}&select=title,slug", {"id": new, "title": "Black", "slug": "noir"}) == (
        200,
        [{"title": "Black", "slug": "noir"}],
    )
    assert (await send(studio, "PUT", path, {"id": new, "title": "Noir"})).status == 204
    for query, body in (
        ("", {"id": new, "title": "x"}),
        (f"?id=eq.{new}&title=eq.x", {"id": new, "title": "x"}),
        (f"?id=neq.{new}", {"id": new, "title": "x"}),
        (f"?id=eq.{new}&id=eq.{DRAMA}", {"id": new, "title": "x"}),
    ):
        assert await code(studio, "PUT", f"/genres{query}", body) == (400, "PS104"), query
    assert await code(studio, "PUT", path, {"id": DRAMA, "title": "x"}) == (422, "PS102")
    assert await code(studio, "PUT", path, {"title": "x"}) == (422, "PS102")
    assert await code(studio, "PUT", path, [{"id": new, "title": "x"}] * 2) == (422, "PS102")


# Update and delete


async def test_the_rows_that_match_are_changed(studio: Shop) -> None:
    response = await send(studio, "PATCH", "/contents?content_type=eq.MOVIE", {"language": "da"}, Prefer="count=exact")
    assert (response.status, await response.read()) == (204, b"")
    assert response.headers["Content-Range"] == "0-2/3"
    status, rows = await written(
        studio, "PATCH", f"/contents?or=(id.eq.{ANNA},title.like.B*)&select=title,language,genres(title)&order=title",
        {"language": "se"},
    )  # fmt: skip
    assert status == 200
    assert [(row["title"], row["language"], len(row["genres"])) for row in rows] == [
        ("Anna", "se", 2),
        ("Brand (1992)", "se", 1),
    ]
    none = await written(studio, "PATCH", f"/contents?id=eq.{uuid4()}", {"language": "x"})
    assert none == (200, [])


async def test_conditions_on_an_embed_choose_what_is_given_back_not_what_is_changed(studio: Shop) -> None:
    path = "/contents?content_type=eq.MOVIE&select=title,genres!inner(title)&genres.title=eq.Comedy"
    assert await written(studio, "PATCH", path, {"language": "fi"}) == (
        200,
        [{"title": "Anna", "genres": [{"title": "Comedy"}]}],
    )
    assert len(await studio.rows("/contents?language=eq.fi")) == 3


async def test_the_rows_that_match_are_deleted(studio: Shop) -> None:
    response = await send(studio, "DELETE", f"/content_genres?content_id=eq.{ANNA}", Prefer="count=exact")
    assert (response.status, response.headers["Content-Range"]) == (204, "*/2")
    assert await written(studio, "DELETE", f"/genres?id=eq.{HORROR}&select=title") == (200, [{"title": "Horror"}])
    assert await written(studio, "DELETE", f"/genres?id=eq.{HORROR}") == (200, [])
    assert await genres(studio) == ["Comedy", "Drama"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_of_every_row_or_of_a_window_is_refused(studio: Shop, method: str) -> None:
    body = {"title": "x"} if method == "PATCH" else None
    assert await code(studio, method, "/genres", body) == (400, "PS209")
    assert await code(studio, method, "/genres?select=title,content_genres(id)&content_genres.id=is.null", body) == (
        400,
        "PS209",
    )
    assert await code(studio, method, "/genres?title=eq.Drama&limit=1", body) == (400, "PS104")
    assert await code(studio, method, "/genres?title=eq.Drama&cursor=", body) == (400, "PS104")
    assert await genres(studio) == ["Comedy", "Drama", "Horror"]


async def test_too_many_rows_take_the_change_back(studio: Shop) -> None:
    strict = "handling=strict,max-affected=2"
    path = "/contents?content_type=eq.MOVIE"
    assert await code(studio, "PATCH", path, {"language": "x"}, Prefer=strict) == (400, "PS210")
    assert await code(studio, "DELETE", path, Prefer=strict) == (400, "PS210")
    assert len(await studio.rows(f"{path}&language=neq.x")) == 3
    allowed = await send(studio, "PATCH", path, {"language": "x"}, Prefer="handling=strict,max-affected=3")
    assert (allowed.status, allowed.headers["Preference-Applied"]) == (204, "handling=strict, max-affected=3")
    lenient = await send(studio, "PATCH", path, {"language": "y"}, Prefer="max-affected=1,handling=lenient")
    assert lenient.headers["Preference-Applied"] == "handling=lenient", "what is not heeded is not said to be"
    assert lenient.status == 204


async def test_not_exactly_one_object_takes_the_change_back(studio: Shop) -> None:
    one = "application/vnd.pgrst.object+json"
    path = "/contents?content_type=eq.MOVIE&select=title"
    assert await code(studio, "PATCH", path, {"language": "x"}, Accept=one, Prefer=REPRESENTATION) == (406, "PS206")
    assert await studio.rows("/contents?language=eq.x") == []
    status, row = await written(studio, "PATCH", f"/contents?id=eq.{ANNA}&select=title", {"language": "x"}, Accept=one)
    assert (status, row) == (200, {"title": "Anna"})
    status, row = await written(studio, "POST", "/genres?select=title", {"title": "Noir"}, Accept=one)
    assert (status, row) == (201, {"title": "Noir"})


async def test_a_change_can_be_tried_where_that_is_allowed(studio: Shop) -> None:
    prefer = "tx=rollback,return=representation"
    assert await code(studio, "POST", "/genres", {"title": "Noir"}, Prefer=prefer) == (400, "PS211")
    studio.face._may_roll_back = True
    response = await send(studio, "POST", "/genres?select=title", {"title": "Noir"}, Prefer=prefer)
    assert (response.status, await response.read()) == (201, b'[{"title":"Noir"}]')
    assert response.headers["Preference-Applied"] == "return=representation, tx=rollback"
    assert await genres(studio) == ["Comedy", "Drama", "Horror"]


async def test_values_of_every_type_come_back_as_they_went(own_shop: Shop) -> None:
    shop = own_shop
    shop.viewer = STAFF
    row = {
        "id": 9,
        "data": {"a": [1, None, {"b": "é"}], "n": 1.5},
        "plain": {"z": 1, "a": 2},
        "tags": ["x,y", 'a"b', ""],
        "span": "[3,7)",
        "amount": 12.3456,
        'odd name"x': "o'dd",
    }
    assert await written(shop, "POST", "/specimens", row) == (201, [row])
    row["amount"] = 99999.12345
    status, rows = await written(shop, "PATCH", "/specimens?id=eq.9&select=amount,tags", {"amount": 99999.12345})
    assert (status, rows) == (200, [{"amount": 99999.1235, "tags": row["tags"]}])
    assert await code(shop, "POST", "/specimens", {"id": 8, "secret": "x"}) == (400, "PS202")


# Who may


@pytest.mark.rule("streaming-017")
@pytest.mark.parametrize(
    ("viewer", "answer"), [(GUEST, (401, "PS301")), (MARA, (403, "PS304")), (ELSEWHERE, (401, "PS301"))]
)
async def test_only_staff_writes_the_catalogue(own_shop: Shop, viewer: Viewer, answer: tuple[int, str]) -> None:
    own_shop.viewer = viewer
    for table in ("contents", "genres", "categories", "playlists"):
        assert await code(own_shop, "POST", f"/{table}", {"title": "x"}) == answer
        assert await code(own_shop, "PATCH", f"/{table}?title=neq.x", {"title": "x"}) == answer
        assert await code(own_shop, "DELETE", f"/{table}?title=neq.x") == answer


async def test_staff_of_another_tenant_reach_nothing_here(own_shop: Shop) -> None:
    own_shop.viewer = Viewer(OTHER_TENANT, STAFF.user_id, "staff")
    assert await written(own_shop, "PATCH", f"/contents?id=eq.{ANNA}", {"title": "x"}) == (200, [])
    assert await written(own_shop, "DELETE", f"/contents?id=eq.{ANNA}") == (200, [])
    merge = "resolution=merge-duplicates"
    assert await code(own_shop, "POST", "/genres", {"id": DRAMA, "title": "x"}, Prefer=merge) == (403, "PS304")
    assert await code(own_shop, "POST", "/content_genres", {"content_id": ANNA, "genre_id": DRAMA}) == (403, "PS304")


async def test_what_commands_decide_is_not_written_by_hand(studio: Shop) -> None:
    for column in (
        "is_published",
        "published_at",
        "view_count",
        "generation_id",
        "tenant_id",
        "updated_by",
        "duration",
    ):
        assert await code(studio, "PATCH", f"/contents?id=eq.{ANNA}", {column: None}) == (403, "PS208"), column
    for table in ("orders", "order_items", "user_library", "watch_progress", "generations", "transcode_jobs"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            response = await send(studio, method, f"/{table}?id=eq.{ANNA}", {} if method != "DELETE" else None)
            assert response.status == 405, (method, table)
            assert orjson.loads(await response.read())["allowed"] == ["OPTIONS", "GET", "HEAD"]
    assert await code(studio, "POST", "/users", {"email": "x@example.com"}) == (405, "PS207")
    assert await code(studio, "POST", "/accounts", {"password": "x"}) == (404, "PS201")


async def test_options_say_what_a_table_takes(studio: Shop) -> None:
    allowed = {
        table: (await studio.send("OPTIONS", f"/{table}")).headers["Allow"]
        for table in ("genres", "content_genres", "content_prices", "orders")
    }
    assert allowed == {
        "genres": "OPTIONS, GET, HEAD, POST, PATCH, PUT, DELETE",
        "content_genres": "OPTIONS, GET, HEAD, POST, DELETE",
        "content_prices": "OPTIONS, GET, HEAD, PATCH",
        "orders": "OPTIONS, GET, HEAD",
    }


# Rules that the data keeps


@pytest.mark.rule("streaming-030")
async def test_an_edit_names_its_editor(studio: Shop) -> None:
    _, rows = await written(studio, "PATCH", f"/contents?id=eq.{ANNA}&select=updated_by", {"title": "Anne"})
    assert rows == [{"updated_by": str(STAFF.user_id)}]


@pytest.mark.rule("streaming-031")
async def test_a_category_has_a_slug_of_its_own(studio: Shop) -> None:
    assert await code(studio, "POST", "/categories", {"title": "x", "slug": "films"}) == (409, "PS501")


@pytest.mark.rule("streaming-034")
@pytest.mark.rule("streaming-036")
async def test_a_shelf_is_given_once(studio: Shop) -> None:
    assert await code(studio, "POST", "/content_genres", {"content_id": ANNA, "genre_id": DRAMA}) == (409, "PS501")
    pair = {"content_id": ANNA, "category_id": "00000000-0000-7000-8000-000000000401"}
    assert (await send(studio, "POST", "/content_categories", pair)).status == 201
    assert await code(studio, "POST", "/content_categories", pair) == (409, "PS501")


@pytest.mark.rule("streaming-033")
async def test_contents_and_categories_hold_several_of_each_other(studio: Shop) -> None:
    films, nordic = "00000000-0000-7000-8000-000000000401", "00000000-0000-7000-8000-000000000402"
    pairs = [{"content_id": c, "category_id": k} for c, k in ((ANNA, films), (ANNA, nordic), (BRAND, films))]
    assert (await send(studio, "POST", "/content_categories", pairs)).status == 201
    shelves = await studio.rows(f"/contents?select=categories(title)&id=eq.{ANNA}&categories.order=title")
    assert shelves == [{"categories": [{"title": "Films"}, {"title": "Nordic"}]}]
    held = await studio.rows(f"/categories?select=contents(title)&id=eq.{films}&contents.order=title")
    assert held == [{"contents": [{"title": "Anna"}, {"title": "Brand (1992)"}]}]


@pytest.mark.rule("streaming-046")
@pytest.mark.rule("streaming-047")
@pytest.mark.rule("streaming-049")
async def test_an_order_is_taken_once_in_a_playlist_and_again_in_another(studio: Shop) -> None:
    playlist = "00000000-0000-7000-8000-000000000501"
    other = str(uuid4())
    assert (await send(studio, "POST", "/playlists", {"id": other, "title": "Other"})).status == 201
    episode = {"content_id": CIRCLE, "episode_order": 1, "season_number": 2}
    assert await code(studio, "POST", "/playlist_episodes", {**episode, "playlist_id": playlist}) == (409, "PS501")
    assert (await send(studio, "POST", "/playlist_episodes", {**episode, "playlist_id": other})).status == 201
    held = await studio.rows(f"/playlist_episodes?content_id=eq.{CIRCLE}&select=playlist_id")
    assert {row["playlist_id"] for row in held} == {playlist, other}


@pytest.mark.rule("streaming-048")
@pytest.mark.rule("streaming-050")
async def test_a_playlist_without_seasons_is_read_in_its_order(studio: Shop) -> None:
    _, rows = await written(studio, "POST", "/playlists?select=id,is_series", {"title": "Mix", "is_series": False})
    assert rows[0]["is_series"] is False
    mix = rows[0]["id"]
    episodes = [
        {"playlist_id": mix, "content_id": c, "episode_order": n} for c, n in ((BRAND, 2), (CIRCLE, 3), (ANNA, 1))
    ]
    assert (await send(studio, "POST", "/playlist_episodes", episodes)).status == 201
    path = (
        f"/playlists?id=eq.{mix}&select=playlist_episodes(season_number,contents(title))"
        "&playlist_episodes.order=season_number,episode_order"
    )
    read = (await studio.rows(path))[0]["playlist_episodes"]
    assert [row["contents"]["title"][0] for row in read] == ["A", "B", "C"]


@pytest.mark.rule("streaming-051")
@pytest.mark.rule("streaming-053")
async def test_a_playlist_goes_with_its_episodes_and_leaves_the_contents(studio: Shop) -> None:
    playlist = "00000000-0000-7000-8000-000000000501"
    assert (await send(studio, "DELETE", f"/playlists?id=eq.{playlist}")).status == 204
    assert await studio.rows(f"/playlist_episodes?playlist_id=eq.{playlist}") == []
    assert len(await studio.rows(f"/contents?id=eq.{CIRCLE}")) == 1


@pytest.mark.rule("streaming-107")
async def test_what_does_not_exist_cannot_be_named(studio: Shop) -> None:
    nobody = str(uuid4())
    assert (await code(studio, "POST", "/content_genres", {"content_id": ANNA, "genre_id": nobody}))[0] == 409
    assert (await code(studio, "PATCH", f"/contents?id=eq.{ANNA}", {"thumbnail_image_id": nobody}))[0] == 409
    assert (await code(studio, "POST", "/categories", {"title": "x", "parent_id": nobody}))[0] == 409
