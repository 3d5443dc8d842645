"""Bodies and parameters of addresses as records: what is wrong is told with its field."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from core.errors import BAD_FIELD, BAD_JSON, Refusal
from edge.api.bodies import decode_struct, struct_of


class Line(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    tags: list[str] = []


class Order(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    at: dt.datetime | None = None
    lines: list[Line] = []
    more: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"name": "a\\u0000b"}', "name"),
        (b'{"name": "a", "lines": [{"name": "x"}, {"name": "y", "tags": ["t", "\\u0000"]}]}', "lines[1].tags[1]"),
        (b'{"name": "a", "more": {"b": [{"c": "\\u0000"}]}}', "more.b[0].c"),
        (b'{"name": "a", "more": {"b": {"\\u0000": 1}}}', "more.b"),
        (b'{"name": "a", "at": "9999-12-31T23:59:59-01:00"}', "at"),
        (b'{"name": "a", "at": "0001-01-01T00:00:00+01:00"}', "at"),
        (b'{"name": "a", "at": "soon"}', "at"),
        (b'{"name": "a", "lines": [{"name": "x", "nmae": 1}]}', "lines[0].nmae"),
        (b'{"name": "a", "nmae": 1}', "nmae"),
        (b'{"lines": [{}]}', "lines[0].name"),
        (b"{}", "name"),
        (b"[]", "body"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(body: bytes, path: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode_struct(body, Order)
    assert refused.value.code is BAD_FIELD
    assert [fault.path for fault in refused.value.faults] == [path]


def test_what_a_database_can_hold_is_taken_as_it_is() -> None:
    body = '{"name": "\\\\u0000 é\\n", "at": "9999-12-31T23:59:59+01:00", "more": {"": [null, 1.5, true]}}'
    order = decode_struct(body.encode(), Order)
    assert (order.name, order.more) == ("\\u0000 é\n", {"": [None, 1.5, True]})


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"name": "\\ud800"}', b'{"name": "\xff"}', b'{"more": {"a": ' + b"[" * 9_000, b"NaN"]
)
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decode_struct(body, Order)
    assert refused.value.code is BAD_JSON


def test_parameters_of_an_address_are_read_alike() -> None:
    assert struct_of({"name": "7", "at": "2026-01-01T00:00:00Z"}, Order).name == "7"
    for texts, path in (({"name": "\0"}, "name"), ({"name": "a", "x": "1"}, "x"), ({}, "name")):
        with pytest.raises(Refusal) as refused:
            struct_of(texts, Order)
        assert [fault.path for fault in refused.value.faults] == [path]
