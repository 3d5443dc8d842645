"""Where answers get their last form: refusals become JSON, everything carries a request id, nothing leaks.

A failure of ours is logged with its trace under the request id; the client is given the id and nothing else.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import orjson
import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import LineTooLong

from core.database import DatabaseDown
from core.errors import (
    BAD_REQUEST,
    BAD_VERSION,
    BODY_TOO_LARGE,
    HEAD_TOO_LARGE,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TARGET_TOO_LONG,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    Refusal,
)
from core.objects import StoreDown
from edge.api.observe import METHODS, REQUEST_ID, REQUESTS, SEALED, observe_request
from edge.api.rates import rate_headers
from edge.api.target import host_of, path_of
from edge.lane.plain import is_plain_host
from edge.redis_client import RedisDown

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CLEAN_ID = re.compile(r"[A-Za-z0-9_\-]{8,64}")
_TOKEN_IN_PATH = re.compile(r"^/hls/[^/]+")

LARGEST_TARGET_BYTES = 8000
"""RFC 9112 section 3 recommends to take so much at least."""
LARGEST_FIELD_BYTES = 8190
CODINGS = frozenset({"identity", "gzip", "deflate", "br"})
"""What aiohttp undoes of a body, alone and not one on the other."""
_ODD_PATH = re.compile(
    r"[^!-~]|\\|//|/\.\.?(?:/|$)|%(?![0-9A-Fa-f]{2})|%(?:2[EeFf]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])", re.ASCII
)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def check_head(request: web.BaseRequest) -> None:
    """Refuses what aiohttp lets through of the request line and the framing; `check_path` does the path.

    HTTP/0.9, 1.2 and 2.0 on this wire, CONNECT and TRACE, a bad Host, chunks in HTTP/1.0, a target of no form that is served
    (RFC 9112 sections 2.3, 3.2 and 6.1). Raises Refusal 505, 405 or 400; the connection closes after any of them.
    """
    if request.version not in ((1, 1), (1, 0)):
        raise Refusal(BAD_VERSION)
    if request.method not in METHODS:
        raise Refusal(METHOD_NOT_ALLOWED, data={"allowed": sorted(METHODS)})
    hosts = request.headers.getall(hdrs.HOST, [])
    if (
        len(hosts) > 1
        or (not hosts and request.version == (1, 1))
        or (hosts and not is_plain_host(hosts[0].encode(errors="surrogateescape")))
    ):
        raise Refusal(BAD_REQUEST, "The Host header is missing, repeated or malformed.")
    if request.version == (1, 0) and hdrs.TRANSFER_ENCODING in request.headers:
        raise Refusal(BAD_REQUEST, "HTTP/1.0 has no transfer codings.")
    target = request.raw_path
    if "#" in target or (not target.startswith("/") and not _may_stand_for_path(target)):
        raise Refusal(BAD_REQUEST, "The request target is malformed.")


def _may_stand_for_path(target: str) -> bool:
    host = host_of(target)
    return target == "*" if host is None else is_plain_host(host.encode(errors="surrogateescape"))


def check_path(request: web.BaseRequest) -> None:
    """Refuses a path with a second spelling, before anything is looked up by it: the same 404 for all of them.

    Doubled slashes, dot segments, backslashes, raw bytes outside ASCII, `%` forms that are broken, that stand for a slash,
    a dot or a control character, or that are not UTF-8.
    """
    if _is_odd(path_of(request.raw_path)):
        raise Refusal(NOT_FOUND)


@lru_cache(2048)
def _is_odd(path: str) -> bool:
    if _ODD_PATH.search(path):
        return True
    if "%" in path:
        try:
            unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            return True
    return False


def check_coding(request: web.BaseRequest) -> None:
    """Refuses a body in a coding that nobody here undoes: its bytes would be taken for what they stand for. Raises Refusal 415."""
    said = request.headers.getall(hdrs.CONTENT_ENCODING, ())
    if said and (len(said) > 1 or said[0].strip().lower() not in CODINGS):
        hint = f"Send it as it is, or in one of {', '.join(sorted(CODINGS))}."
        raise Refusal(UNSUPPORTED_TYPE, "The body's content coding is not taken here.", hint)


def new_request_id() -> str:
    """Tells requests apart; it need not be hard to guess, and the system's own randomness costs a call into it."""
    return f"{random.getrandbits(64):016x}"


def masked(path: str) -> str:
    """A path fit for a log: the playback token is not in it."""
    return _TOKEN_IN_PATH.sub("/hls/***", path)[:256]


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost layer of every request."""
    began = time.perf_counter()
    asked_id = request.headers.get("X-Request-Id", "")
    request_id = asked_id if _CLEAN_ID.fullmatch(asked_id) else new_request_id()
    request[REQUEST_ID] = request_id
    response: web.StreamResponse | None
    try:
        response = _refuse_head(request)
        if response is None:
            check_path(request)
            check_coding(request)
            response = await handler(request)
    except Refusal as refusal:
        response = refuse(request, refusal)
    except web.RequestPayloadError:
        # The body's framing is broken: where the next request begins, nobody can tell.
        response = refuse(request, Refusal(BAD_REQUEST))
        response.force_close()
    except web.HTTPException as error:
        response = refuse(request, _from_http(error)) if error.status >= 400 else error
    except (DatabaseDown, RedisDown, StoreDown) as error:
        log.warning(
            "dependency_down",
            request_id=request_id,
            path=masked(request.path),
            error=f"{type(error).__name__}: {error}",
        )
        # Jitter: everybody told "2 s" would come back together.
        response = refuse(request, Refusal(UNAVAILABLE, retry_after_s=random.randint(2, 5)))  # noqa: S311 - jitter
    except Exception as error:
        if isinstance(error, ConnectionResetError) and request.transport is None:
            # The client left in the middle of its body: no failure of ours, and nobody to answer. 499 is nginx's word for it.
            observe_request(request, 499, time.perf_counter() - began)
            return web.Response(status=499)
        log.exception("request_failed", request_id=request_id, method=request.method, path=masked(request.path))
        response = refuse(request, Refusal(INTERNAL, data={"request_id": request_id}))
    if hdrs.UPGRADE in request.headers:
        # Declined, as ever; but what came behind it in one piece, aiohttp has thrown away: the connection is out of step.
        response.force_close()
    # A sealed answer is complete as it is: the fast lane gives the same one, byte for byte.
    if not response.prepared and SEALED not in request:
        _finish(response, request_id)
    observe_request(request, response.status, time.perf_counter() - began)
    return response


def _refuse_head(request: web.Request) -> web.Response | None:
    try:
        check_head(request)
    except Refusal as refusal:
        response = refuse(request, refusal)
        response.force_close()
        return response
    return None


def _finish(response: web.StreamResponse, request_id: str) -> None:
    response.headers["X-Request-Id"] = request_id
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def refuse_unparsed(request: web.BaseRequest, status: int, error: BaseException | None) -> web.Response:
    """The answer to a request that aiohttp could not parse, or that failed outside the application (edge/lane/handler.py).

    What was sent is neither repeated nor logged: whoever sends garbage must not fill our log with it.
    """
    request_id = new_request_id()
    if isinstance(error, LineTooLong):
        # Nothing else in it tells which of the two was too long.
        refusal = Refusal(TARGET_TOO_LONG if error.args[1] == LARGEST_TARGET_BYTES else HEAD_TOO_LARGE)
    elif status < 500:
        refusal = Refusal(BAD_REQUEST)
    else:
        log.error("request_failed_outside", request_id=request_id, exc_info=error)
        refusal = Refusal(INTERNAL, data={"request_id": request_id})
    response = refuse(request, refusal)
    _finish(response, request_id)
    REQUESTS.labels("malformed", "other", str(response.status)).inc()
    return response


class _Unsigned(web.Response):
    """For what never reached the application, whose `unsigned` signal does this for all the rest."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)


def refuse(request: web.BaseRequest, refusal: Refusal) -> web.Response:
    """A refusal as JSON."""
    response = _Unsigned(
        status=refusal.code.status,
        body=_told(refusal.body()),
        headers={hdrs.CONTENT_TYPE: "application/json; charset=utf-8", hdrs.CACHE_CONTROL: "no-store"},
    )
    if refusal.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(refusal.retry_after_s)
    response.headers.update(rate_headers(refusal))
    if refusal.code.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if isinstance(allowed := refusal.data.get("allowed"), list):
        response.headers[hdrs.ALLOW] = ", ".join(allowed)
    response.headers.update(cors_headers(request))
    return response


def _told(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # It repeats a header that is not UTF-8, whose bytes aiohttp hands on as lone surrogates.
        return json.dumps(body, default=str, ensure_ascii=False).encode(errors="replace")


def _from_http(error: web.HTTPException) -> Refusal:
    match error.status:
        case 404:
            return Refusal(NOT_FOUND)
        case 405:
            return Refusal(METHOD_NOT_ALLOWED, data={"allowed": sorted(getattr(error, "allowed_methods", ()))})
        case 413:
            return Refusal(BODY_TOO_LARGE)
        case _:
            return Refusal(BAD_REQUEST)


def cors_headers(request: web.BaseRequest) -> dict[str, str]:
    """Any site may call: authority comes with a bearer token that a page must hold, never with a cookie."""
    if hdrs.ORIGIN not in request.headers:
        return {}
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "Allow, Preference-Applied, "
        "Content-Length, Content-Range, Content-Location, Content-Profile, Date, ETag, Location, Next-Cursor, "
        "RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, "
        "Upload-Offset, Upload-Length, Upload-Expires, Tus-Resumable, Tus-Version, Tus-Extension",
    }


@web.middleware
async def cors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers preflights and marks answers as readable by other origins."""
    if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": ", ".join(METHODS),
                "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "*")[:1000],
                "Access-Control-Max-Age": "7200",
                "Vary": "Access-Control-Request-Headers",
            },
        )
    response = await handler(request)
    if not response.prepared:
        for name, value in cors_headers(request).items():
            response.headers.setdefault(name, value)
    return response


async def unsigned(request: web.Request, response: web.StreamResponse) -> None:
    """Takes aiohttp's name and version off every answer."""
    response.headers.popall(hdrs.SERVER, None)
