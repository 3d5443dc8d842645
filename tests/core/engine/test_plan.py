"""Relations, plans and the SQL they become, on a schema written by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database import FIRST_READ_PARAMETER
from core.domain.context import Table
from core.engine.plan import plan_read
from core.engine.relations import find_relation
from core.engine.render import Sql, quote, render_read
from core.engine.request import parse_read
from core.engine.schema import Schema, build_schema
from core.errors import AMBIGUOUS_RELATION, UNKNOWN_RELATION, UNKNOWN_TABLE, Refusal


def key(table: str, name: str, columns: str, foreign: str | None = None) -> dict[str, Any]:
    return {
        "table_name": table,
        "name": name,
        "kind": "f" if foreign else "p" if name.endswith("pkey") else "u",
        "columns": columns.split(),
        "foreign_table": foreign,
        "foreign_columns": ["id"] if foreign else None,
    }


COLUMNS = {
    "films": "id title secret maker_id rival_id",
    "people": "id name",
    "passports": "id person_id",
    "genres": "id title",
    "film_genres": "film_id genre_id",
    "screenings": "id film_id hall_id price",
    "halls": "id name",
    "follows": "follower_id followed_id",
    "notes": "id text",
}
CONSTRAINTS = [
    key("films", "films_pkey", "id"),
    key("films", "films_maker_fkey", "maker_id", "people"),
    key("films", "films_rival_fkey", "rival_id", "films"),
    key("passports", "passports__one", "person_id"),
    key("passports", "passports_person_fkey", "person_id", "people"),
    key("film_genres", "film_genres_pkey", "film_id genre_id"),
    key("film_genres", "fg_film_fkey", "film_id", "films"),
    key("film_genres", "fg_genre_fkey", "genre_id", "genres"),
    key("screenings", "screenings_film_fkey", "film_id", "films"),
    key("screenings", "screenings_hall_fkey", "hall_id", "halls"),
    key("follows", "follows_pkey", "follower_id followed_id"),
    key("follows", "follows_follower_fkey", "follower_id", "people"),
    key("follows", "follows_followed_fkey", "followed_id", "people"),
    key("notes", "notes_author_fkey", "id", "accounts"),
]


def schema_of(**hidden: frozenset[str]) -> Schema:
    return build_schema(
        {name: Table(name, hidden=hidden.get(name, frozenset())) for name in COLUMNS},
        [{"name": name, "comment": None, "is_announced": False} for name in COLUMNS],  # type: ignore[misc]
        [  # type: ignore[misc]
            {
                "table_name": table,
                "name": name,
                "type": "text",
                "category": "S",
                "nullable": True,
                "comment": None,
                "default_sql": None,
                "labels": None,
            }
            for table, names in COLUMNS.items()
            for name in names.split()
        ],
        CONSTRAINTS,  # type: ignore[arg-type]
    )


SCHEMA = schema_of(films=frozenset({"secret"}))


def sql_of(query: str, table: str = "films") -> Sql:
    request = parse_read(table, query)
    return render_read(plan_read(request, SCHEMA), request.format, request.count)


@pytest.mark.parametrize(
    ("origin", "target", "hint", "found"),
    [
        ("films", "people", None, "films_maker_fkey one"),
        ("films", "maker_id", None, "films_maker_fkey one"),
        ("films", "films_maker_fkey", None, "films_maker_fkey one"),
        ("people", "films", None, "films_maker_fkey many"),
        ("people", "passports", None, "passports_person_fkey one"),
        ("passports", "people", None, "passports_person_fkey one"),
        ("films", "genres", None, "fg_genre_fkey many film_genres"),
        ("genres", "films", None, "fg_film_fkey many film_genres"),
        ("films", "genres", "film_genres", "fg_genre_fkey many film_genres"),
        ("films", "film_genres", None, "fg_film_fkey many"),
        ("films", "halls", "screenings", "screenings_hall_fkey many screenings"),
        ("films", "films", None, "films_rival_fkey many"),
        ("films", "rival_id", None, "films_rival_fkey one"),
        ("people", "people", "follows_followed_fkey", "follows_followed_fkey many follows"),
        ("people", "people", "follower_id", "follows_follower_fkey many follows"),
    ],
)
def test_relations(origin: str, target: str, hint: str | None, found: str) -> None:
    relation = find_relation(SCHEMA, origin, target, hint)
    words = [relation.constraint, "one" if relation.to_one else "many", relation.junction]
    assert " ".join(word for word in words if word) == found


@pytest.mark.parametrize(
    ("origin", "target", "hint", "code"),
    [
        ("people", "people", None, AMBIGUOUS_RELATION),
        ("people", "people", "follows", AMBIGUOUS_RELATION),
        ("films", "halls", None, UNKNOWN_RELATION),
        ("films", "genres", "maker_id", UNKNOWN_RELATION),
        ("notes", "accounts", None, UNKNOWN_RELATION),
        ("films", "no_such", None, UNKNOWN_RELATION),
    ],
)
def test_relations_that_are_none_or_several(origin: str, target: str, hint: str | None, code: object) -> None:
    with pytest.raises(Refusal) as caught:
        find_relation(SCHEMA, origin, target, hint)
    assert caught.value.code is code


def test_a_context_that_names_what_is_not_there_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=r"films\.scret"):
        schema_of(films=frozenset({"scret"}))
    with pytest.raises(ValueError, match="ghosts"):
        build_schema({"ghosts": Table("ghosts")}, [], [], [])


def test_a_table_that_is_not_read_does_not_exist() -> None:
    schema = build_schema(
        {"inbox": Table("inbox", verbs=frozenset({"insert"}))},
        [{"name": "inbox", "comment": None, "is_announced": False}],  # type: ignore[misc]
        [],
        [],
    )
    with pytest.raises(Refusal) as caught:
        plan_read(parse_read("inbox", ""), schema)
    assert caught.value.code is UNKNOWN_TABLE


def test_every_value_is_a_parameter_in_order() -> None:
    sql = sql_of(
        "select=id,genres(title)&title=eq.x'y&or=(id.in.(1,2),title.like.*z)&genres.title=eq.g&limit=7&offset=3"
    )
    assert sql.arguments == ("x'y", ["1", "2"], "%z", "g", 7, 3)
    numbers = [int(number) for number in re.findall(r"\$(\d+)", sql.text)]
    assert sorted(set(numbers)) == list(range(FIRST_READ_PARAMETER, FIRST_READ_PARAMETER + 6))


_VALUES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@given(_VALUES, _VALUES, st.integers(0, 31), st.integers(0, 31))
def test_the_text_depends_on_the_shape_alone(one: str, other: str, limit: int, other_limit: int) -> None:
    shape = "select=id,genres(title)&title=eq.{}&id=in.(a,{})&genres.title=like.{}&limit={}"
    first, second = (
        sql_of(shape.format(value, value, value, n + 32)).text for value, n in ((one, limit), (other, other_limit))
    )
    assert first == second


def test_a_window_tells_the_planner_its_end_rounded_up() -> None:
    assert " LIMIT 32) AS t0 LIMIT $4::bigint" in sql_of("limit=20").text
    assert sql_of("limit=20").arguments == (20,)
    assert " LIMIT 128) AS t0 LIMIT $" in sql_of("limit=20&offset=100").text
    assert sql_of("").text.count("LIMIT 1000") == 1
    assert sql_of("limit=5000").arguments == (1000,)


@given(st.text())
def test_a_quoted_identifier_never_ends_early(name: str) -> None:
    inside = quote(name)[1:-1]
    assert '"' not in inside.replace('""', "")
