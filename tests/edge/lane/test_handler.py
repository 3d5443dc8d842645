"""aiohttp's handler with our own last words: what it answers and logs when a request never reaches the application."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import orjson
import pytest
from aiohttp import http_parser

import edge.__main__ as web_process
from core.variables import SettingsError
from edge.lane.handler import parses_in_c
from edge.settings import read_settings
from tests.edge.lane.stage import Stage, Wire, open_stage, settle


async def answer(stage: Stage, raw: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers and body of the one answer to `raw`, after which the connection ends."""
    wire = Wire(stage.fast())
    wire.send(raw)
    await settle()
    head, _, body = bytes(wire.written).partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    assert wire.closing
    wire.lose()
    await settle()
    return line, dict(part.split(b": ", 1) for part in lines), body


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"CANARY CANARY\r\n\r\n", b"400 Bad Request", "PS109"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request", "PS109"),
        (b"GET / HTTP/1.1\r\nHost: CANARY@x\r\n\r\n", b"400 Bad Request", "PS109"),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", b"400 Bad Request", "PS109"),
        (b"GET /\r\n\r\n", b"505 HTTP Version Not Supported", "PS113"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"505 HTTP Version Not Supported", "PS113"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"CANARY" * 2000 + b"\r\n\r\n",
            b"431 Request Header Fields Too Large",
            "PS114",
        ),
        (
            b"GET /" + b"CANARY" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"431 Request Header Fields Too Large",
            "PS114",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: CANARY\r\n\r\n", b"400 Bad Request", "PS109"),
        (b"\x16\x03\x01\x00\x05CANARY\r\n\r\n", b"400 Bad Request", "PS109"),
    ],
)
async def test_a_refusal_is_ours(raw: bytes, status: bytes, code: str, caplog: pytest.LogCaptureFixture) -> None:
    stage = await open_stage()
    with caplog.at_level(logging.DEBUG):
        line, headers, body = await answer(stage, raw)
    assert line == b"HTTP/1.1 " + status
    assert orjson.loads(body)["code"] == code
    assert b"Server" not in headers
    assert headers[b"Connection"] == b"close"
    assert headers[b"X-Content-Type-Options"] == b"nosniff"
    assert headers[b"X-Request-Id"]
    assert b"CANARY" not in body
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]
    await stage.close()


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    stage = await open_stage()
    wire = Wire(stage.fast())
    with caplog.at_level(logging.DEBUG):
        wire.send(b"POST /measure HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        await settle()
        wire.lose()
        await settle()
    assert not caplog.records
    assert not wire.written
    assert len(asyncio.all_tasks()) == 1
    await stage.close()


async def test_a_body_that_does_not_unpack_is_its_senders_failure(caplog: pytest.LogCaptureFixture) -> None:
    stage = await open_stage()
    raw = b"POST /measure HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nCANARY"
    line, _, body = await answer(stage, raw)
    assert line == b"HTTP/1.1 400 Bad Request"
    assert b"CANARY" not in body
    assert not caplog.records
    await stage.close()


async def test_without_the_c_parser_nothing_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parses_in_c()
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    assert not parses_in_c()
    with socket.socket() as listening, pytest.raises(SettingsError, match="C parser is missing"):
        await web_process.serve(read_settings({"PENSTOCK_DATA": str(tmp_path)}), listening)
