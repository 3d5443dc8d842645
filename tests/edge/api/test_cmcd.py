"""CMCD as players send it, and as nobody should: read to the letter of CTA-5004, summed up, bounded."""

from __future__ import annotations

import time

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from yarl import URL

from edge.api import cmcd
from edge.api.observe import REGISTRY

tokens = st.text(
    st.characters(whitelist_categories=(), whitelist_characters="abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=12
)
strings = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=40)
values = st.one_of(st.just(True), tokens, strings.map(lambda text: f'"{text}'), st.integers(0, 10**12 - 1).map(str))


def written(pairs: dict[str, str | bool]) -> str:
    """As a player writes it; a string is marked by its leading quote."""
    parts = []
    for key, value in pairs.items():
        if value is True:
            parts.append(key)
        elif str(value).startswith('"'):
            escaped = str(value)[1:].replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{key}="{escaped}"')
        else:
            parts.append(f"{key}={value}")
    return ",".join(parts)


@given(st.dictionaries(tokens, values, min_size=1, max_size=20))
def test_what_a_player_writes_is_what_is_read(pairs: dict[str, str | bool]) -> None:
    read = cmcd.parse(written(pairs))
    assert read == {key: v if v is True else str(v).removeprefix('"') for key, v in pairs.items()}


@given(st.text(max_size=300) | st.text('abr=",\\ \t;1', max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    pairs = cmcd.parse(text)
    if pairs is not None:
        told = cmcd.report(pairs)
        assert told == cmcd.report(dict(reversed(pairs.items()))), "the order of the pairs says nothing"


@pytest.mark.parametrize(
    "text",
    ["", ",", "br=", "br=1,", ",br=1", "br=1,,bl=2", 'sid="x', 'sid="x\\"', 'sid="a\nb"', "br=1;bl=2", "1br=2", "br==1", "=1",
     "br=1 2", 'sid=a"b"', "a" * 65, "br=" + "1" * 300, ",".join(f"a{n}" for n in range(65)), "a," * 3000],
)  # fmt: skip
def test_what_is_not_cmcd_is_refused(text: str) -> None:
    assert cmcd.parse(text) is None


def test_a_long_hostile_text_costs_next_to_nothing() -> None:
    # The processor's time: whoever else has the machine meanwhile does not count. A pattern that tries again takes minutes.
    began_s = time.thread_time()
    for text in ('a="' + "\\" * 4000, 'a="' + '\\"' * 2000, "a=" + "(" * 4000, " " * 4096, "a " * 2000):
        cmcd.parse(text)
    assert time.thread_time() - began_s < 1.0


def test_the_example_of_the_standard() -> None:
    pairs = cmcd.parse(
        'bl=21300,br=3200,bs,cid="faec5fc2-ac30-11ea",d=4004,mtp=25400,nor="..%2F300kbps%2Ftrack.m4v",ot=v,sf=h,su,tb=6000'
    )
    assert pairs is not None
    assert pairs["nor"] == "..%2F300kbps%2Ftrack.m4v"
    assert cmcd.report(pairs) == cmcd.Report("v", 3200, 25400, 21300, True, True)


@pytest.mark.parametrize("text", ["br=-1", "br=99999999", "br", "br=1.5", "br=٣", "ot=virus,bs=yes,su=1"])
def test_an_unbelievable_value_is_left_out(text: str) -> None:
    pairs = cmcd.parse(text)
    assert pairs is not None
    assert cmcd.report(pairs) == cmcd.Report(None, None, None, None, False, False)


def sample(name: str, registry: CollectorRegistry = REGISTRY, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("how", ["query", "headers"])
def test_both_ways_are_summed_up(how: str) -> None:
    names = (
        "penstock_cmcd_starved_total",
        "penstock_cmcd_startup_total",
        "penstock_cmcd_bitrate_kbps_sum",
        "penstock_cmcd_throughput_kbps_sum",
    )
    before = [sample(name) for name in names]
    if how == "query":
        path = str(URL("/hls/x").with_query({"CMCD": "bs,su,br=500,ot=v,mtp=9000"}))
        request = make_mocked_request("GET", path)
    else:
        request = make_mocked_request(
            "GET", "/hls/x", headers={"CMCD-Object": "br=500,ot=v", "CMCD-Request": "su,mtp=9000", "CMCD-Status": "bs"}
        )
    cmcd.observe(request)
    assert [sample(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 500, 9000]


def test_what_cannot_be_read_is_counted_and_nothing_else() -> None:
    before = sample("penstock_cmcd_requests_total", outcome="malformed")
    cmcd.observe(make_mocked_request("GET", "/hls/x?CMCD=%22"))
    cmcd.observe(make_mocked_request("GET", "/hls/x?other=1"))
    assert sample("penstock_cmcd_requests_total", outcome="malformed") == before + 1
