"""The grammar: what is written is what is read, and nonsense is a refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine.clauses import (
    Embed,
    Filter,
    Logic,
    Order,
    Pick,
    Star,
    parse_filter,
    parse_logic,
    parse_order,
    parse_select,
)
from core.engine.scanner import Field, JsonStep, Scanner
from core.errors import BAD_QUERY, Refusal


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_a_select_with_everything_in_it() -> None:
    select = 'a, b:"odd, name"::text,c->d->0->>"e f",*,x:genres!hint!inner(title,films()),...maker!left(n:name)'
    assert parse_select(select) == (
        Pick(Field("a"), None, None),
        Pick(Field("odd, name"), "b", "text"),
        Pick(Field("c", (JsonStep("d", False), JsonStep(0, False), JsonStep("e f", True))), None, None),
        Star(),
        Embed(
            "genres", "x", "hint", "inner", False,
            (Pick(Field("title"), None, None), Embed("films", None, None, "left", False, ())),
        ),
        Embed("maker", None, None, "left", True, (Pick(Field("name"), "n", None),)),
    )  # fmt: skip


def test_a_logic_tree_with_everything_in_it() -> None:
    logic = parse_logic(
        "or", '(a.eq.1,not.and(b.not.in.(x,"y,z"),c->>d.like(any).{p,"q}"}),e.fts(english)."it\'s, (so)")', "or"
    )
    assert logic == Logic(
        "or",
        False,
        (
            Filter(Field("a"), "eq", ("1",), False, None, None, "or"),
            Logic(
                "and",
                True,
                (
                    Filter(Field("b"), "in", ("x", "y,z"), True, None, None, "or"),
                    Filter(Field("c", (JsonStep("d", True),)), "like", ('{p,"q}"}',), False, "any", None, "or"),
                ),
            ),
            Filter(Field("e"), "fts", ("it's, (so)",), False, None, "english", "or"),
        ),
    )


def test_an_order_with_everything_in_it() -> None:
    assert parse_order("a,b.desc,c.nullslast, genres(d->>e).asc.nullsfirst", "order") == (
        Order(Field("a"), None, False, None, "order"),
        Order(Field("b"), None, True, None, "order"),
        Order(Field("c"), None, False, "last", "order"),
        Order(Field("d", (JsonStep("e", True),)), "genres", False, "first", "order"),
    )


@given(st.text())
def test_a_plain_filter_takes_its_value_as_it_is(value: str) -> None:
    if "\0" in value:
        return
    assert parse_filter(Field("a"), f"eq.{value}", "a").values == (value,)


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_quoted_list_items_come_back_whole(items: list[str]) -> None:
    assert parse_filter(Field("a"), f"in.({','.join(quoted(item) for item in items)})", "a").values == tuple(items)


@given(st.text(st.characters(exclude_characters="\0")))
def test_a_quoted_value_in_a_logic_tree_comes_back_whole(value: str) -> None:
    member = parse_logic("or", f"(a.eq.{quoted(value)})", "or").members[0]
    assert isinstance(member, Filter)
    assert member.values == (value,)


def test_quotes_count_only_around_a_whole_item() -> None:
    assert Scanner('("a"b,c"d",e)', "x").items() == ('"a"b', 'c"d"', "e")


def _refusal_of(parse: Callable[[], object]) -> Refusal | None:
    try:
        parse()
    except Refusal as refusal:
        return refusal
    return None


@given(st.text(st.sampled_from('ab.,:()!*-> "\\{}not eqinor1'), max_size=40))
def test_no_text_breaks_a_parser(text: str) -> None:
    for parse in (
        lambda: parse_select(text),
        lambda: parse_order(text, "order"),
        lambda: parse_logic("and", text, "and"),
        lambda: parse_filter(Field("a"), text, "a"),
    ):
        refusal = _refusal_of(parse)
        assert refusal is None or (refusal.code is BAD_QUERY and refusal.faults)


@pytest.mark.parametrize("text", ['("a', '("a\\', "(a", "", "a)"])
def test_a_list_that_does_not_end_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        Scanner(text, "x").items()


def test_deep_nesting_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refusal, match="5 deep"):
        parse_logic("and", "(and" * 3000, "and")
    with pytest.raises(Refusal, match="5 deep"):
        parse_select("a(" * 3000)
