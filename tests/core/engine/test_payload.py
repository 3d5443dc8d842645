"""What comes in a body is what PostgreSQL is given, to the last digit; and what cannot be given to it is refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine.payload import parse_payload
from core.errors import BAD_JSON, BAD_REQUEST, Refusal


def refusal_of(body: bytes, content_type: str = "application/json") -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_payload(body, content_type)
    return caught.value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_a_number_keeps_every_digit(number: Decimal) -> None:
    body = f'[{{"amount": {number:f}}}]'.encode()
    assert json.loads(parse_payload(body, "").text, parse_float=Decimal, parse_int=Decimal) == [{"amount": number}]


@pytest.mark.parametrize("text", ["123456789012345.6789", "18446744073709551617", "0.10", "-99999999999999999999"])
def test_the_very_text_of_a_number(text: str) -> None:
    assert parse_payload(f'{{"amount":{text}}}'.encode(), "").text == f'[{{"amount":{text}}}]'


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1e400}',
        b'{"a": -1e99999999999999999999}',
        b'{"a": %s}' % (b"9" * 5000),
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": 01}',
        b"[" * 100_000,
        b"",
        b"1",
        b"[1]",
        b"null",
    ],
)
def test_what_is_no_json_or_too_much_of_it(body: bytes) -> None:
    assert refusal_of(body).code is BAD_JSON


@pytest.mark.parametrize("content_type", ["application/json", "text/csv", "application/x-www-form-urlencoded"])
def test_what_is_not_utf_8(content_type: str) -> None:
    assert refusal_of(b'"\xff"\n1', content_type).code is BAD_REQUEST


def test_whatever_is_nested_so_deep_that_it_could_not_be_written_again_is_refused() -> None:
    """orjson read 1,024 levels and wrote 254: what was in between failed after it had been taken."""
    taken = 0
    for depth in range(0, 1100, 7):
        body = b'{"a":%s%s}' % (b"[" * depth, b"]" * depth)
        try:
            payload = parse_payload(body, "")
        except Refusal as refusal:
            assert refusal.code is BAD_JSON
            continue
        assert payload.text == f"[{body.decode()}]"
        taken = depth
    assert taken > 254
