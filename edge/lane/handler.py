"""aiohttp's handler of one connection, with our own answers where aiohttp would give its own.

aiohttp's repeat a line of the request to whoever sent it, write a traceback's worth to the log for each, and answer in the
version that was asked for, be it 0.9. What our answers look like is the business of whoever makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, http_parser, web
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_server import Server

Refuse = Callable[[web.BaseRequest, int, BaseException | None], web.Response]
"""The answer to a request that never reached the application, by the status that aiohttp has in mind and its reason."""


class WireHandler(RequestHandler):
    """One connection in the slow lane."""

    __slots__ = ("_refuse",)

    def __init__(self, server: Server, refuse: Refuse) -> None:
        super().__init__(server, loop=server._loop, **server._kwargs)
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A request that could not be parsed, or a failure outside the application; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; there can be no other")
        return self._last(request, self._refuse(request, status, exc))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends `resp`, or ours in its place when aiohttp raised it outside the application."""
        if isinstance(resp, web.HTTPException):
            resp = self._last(request, self._refuse(request, resp.status, None))
        elif request.version not in (HttpVersion10, HttpVersion11):
            _answer_in_1_1(request)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that breaks off or does not unpack is its sender's failure: it has its answer, and no line in our log."""
        if not isinstance(kw.get("exc_info"), RequestPayloadError):
            super().log_exception(*args, **kw)

    def _last(self, request: web.BaseRequest, response: web.Response) -> web.Response:
        # aiohttp calls what it could not parse an HTTP/1.0 request.
        _answer_in_1_1(request)
        response.force_close()
        return response


def _answer_in_1_1(request: web.BaseRequest) -> None:
    """aiohttp answers in the version it was asked in, which it remembers twice."""
    request._version = HttpVersion11
    request._cache["version"] = HttpVersion11


def handlers(server: Server, refuse: Refuse) -> Callable[[], WireHandler]:
    """What makes the handlers of `server`."""
    return lambda: WireHandler(server, refuse)


def parses_in_c() -> bool:
    """Whether aiohttp has its C parser. Most parser advisories are about the one in Python."""
    return http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
