"""Requests on the raw wire and what they may be answered with, as data. After llhttp's, http-garden's and Http11Probe's lists.

`@FILM@` and `@TOKEN@` stand for a film in the store and a token for it; `CANARY` must come back in no body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

H = b"Host: edge.example\r\n"
NOT_FOUND = (404,)
BAD = (400,)


@dataclass(frozen=True)
class Case:
    """One connection: what is sent in one piece, the status each answer may have, and whether the connection then ends.

    `then` is what the client does next: ask once more, send FIN, or wait for the end. FIN is for what never becomes a whole
    request, waiting for what the server ends by itself.
    """

    name: str
    raw: bytes
    answers: tuple[tuple[int, ...], ...]
    closes: bool = True
    then: Literal["more", "fin", "wait"] = "more"


def bad(name: str, raw: bytes, *also: int) -> Case:
    """Refused, and the connection ends: nobody can tell where the next request begins."""
    return Case(name, raw, ((400, *also),))


def fine(name: str, raw: bytes, *statuses: int) -> Case:
    """Answered, and the connection goes on in step."""
    return Case(name, raw, (statuses,), closes=False)


def get(path: bytes, more: bytes = b"") -> bytes:
    """A GET with a Host."""
    return b"GET " + path + b" HTTP/1.1\r\n" + H + more + b"\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    """A POST to a place that reads its body."""
    return b"POST /progress HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n" + headers + b"\r\n" + body


_MEDIA = b"/hls/@TOKEN@/@FILM@/1/video/720p/1.m4s"
SMUGGLED = b"GET /smuggled/CANARY HTTP/1.1\r\n" + H + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# /progress refuses a body without beats; what matters is that it is read to its end.
TAKEN = (400, 401, 415, 422)

LENGTHS = [
    *(
        bad(f"length {value!r}", post(b"Content-Length: " + value + b"\r\n", b"abc" + SMUGGLED))
        for value in (
            b"+3", b"-3", b"0x3", b"3 3", b"3,3", b"3, 3", b"3;3", b"1_0", b"3.0", b"3e0", b"\x0b3", b"\x0c3", b"abc", b"CANARY",
            b"99999999999999999999999", b"18446744073709551616", b"18446744073709551619", b"-0", b"\"3\"", b"3\x00", b"\xd9\xa3",
        )
    ),
    bad("length twice, same", post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc" + SMUGGLED)),
    bad("length twice, different", post(b"Content-Length: 3\r\nContent-Length: 30\r\n", b"abc" + SMUGGLED)),
    bad("length twice, different case", post(b"Content-Length: 3\r\ncontent-length: 0\r\n", b"abc" + SMUGGLED)),
    bad("length with space before colon", post(b"Content-Length : 3\r\n", b"abc" + SMUGGLED)),
    bad("length with tab before colon", post(b"Content-Length\t: 3\r\n", b"abc" + SMUGGLED)),
    bad("length folded", post(b"Content-Length:\r\n 3\r\n", b"abc" + SMUGGLED)),
    bad("length with NUL in its name", post(b"Content-\x00Length: 3\r\n", b"abc" + SMUGGLED)),
    bad("length empty", post(b"Content-Length: \r\n", SMUGGLED)),
    fine("length of three", post(b"Content-Length: 3\r\n", b"abc"), *TAKEN),
    fine("length with zeros in front", post(b"Content-Length: 003\r\n", b"abc"), *TAKEN),
    fine("length without a space", post(b"Content-Length:3\r\n", b"abc"), *TAKEN),
    fine("length with spaces around", post(b"Content-Length:  3  \r\n", b"abc"), *TAKEN),
    fine("length in capitals", post(b"CONTENT-LENGTH: 3\r\n", b"abc"), *TAKEN),
    fine("length zero", post(b"Content-Length: 0\r\n"), *TAKEN),
    fine("a body that looks like a request", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED), *TAKEN),
    fine("GET with a body", get(b"/healthz", b"Content-Length: 3\r\n") + b"abc", 200),
    fine("GET with a request for a body", get(b"/healthz", b"Content-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED, 200),
    fine("no length, no body", post(b""), *TAKEN),
    Case("body cut short", post(b"Content-Length: 50\r\n", b"abc"), (), then="fin"),
    Case("body cut short, GET", get(b"/progress", b"Content-Length: 50\r\n") + b"abc", ((405,),), then="fin"),
]  # fmt: skip

CODINGS = [
    *(
        bad(f"coding {value!r}", post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n" + SMUGGLED), 501)
        for value in (
            b"xchunked", b"chunked, identity", b"chunked, chunked", b"identity", b"gzip", b"gzip, chunked, gzip", b"\x0bchunked",
            b"\x0cchunked", b"chunked\x0b", b"chunke\x00d", b"\"chunked\"", b"chunked;q=1", b"cow", b"CANARY", b"[chunked]", b"chunk ed",
            b"chunked, cow", b"", b"\xa0chunked", b"identity, cow", b"chunkedchunked", b"chunked,,chunked",
        )
    ),
    bad("coding and length", post(CHUNKED + b"Content-Length: 3\r\n", b"0\r\n\r\n" + SMUGGLED)),
    bad("length and coding", post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED)),
    bad("length zero and coding", post(b"Content-Length: 0\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED)),
    bad("coding twice, one unknown", post(CHUNKED + b"Transfer-Encoding: cow\r\n", b"0\r\n\r\n" + SMUGGLED), 501),
    bad("coding twice, identity first", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, b"0\r\n\r\n" + SMUGGLED), 501),
    bad("coding twice", post(CHUNKED + CHUNKED, b"0\r\n\r\n" + SMUGGLED), 501),
    bad("coding with space before colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    bad("coding folded", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    bad("coding after a bare LF", post(b"X: y\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    bad("coding after a bare CR", post(b"X: y\rTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED)),
    bad("coding in HTTP/1.0", b"POST /progress HTTP/1.0\r\n" + H + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED),
    bad("coding with an underscore and a length", post(b"Transfer_Encoding: chunked\r\nContent-Length: 3,4\r\n", b"0\r\n\r\n" + SMUGGLED)),
    fine("coding in capitals", post(b"TRANSFER-ENCODING: CHUNKED\r\n", b"3\r\nabc\r\n0\r\n\r\n"), *TAKEN),
    fine("coding without a space", post(b"Transfer-Encoding:chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"), *TAKEN),
    fine("another header of nearly the name", post(b"Transfer-Encodings: chunked\r\n"), *TAKEN),
]  # fmt: skip

CHUNKS = [
    *(
        bad(f"chunk size {size!r}", post(CHUNKED, size + b"\r\nabc\r\n0\r\n\r\n" + SMUGGLED))
        for size in (
            b"0x3", b"+3", b"-3", b"3_", b"_3", b" 3", b"3 ", b"\t3", b"g", b"", b"3,3", b"3\x00", b"FFFFFFFFFFFFFFFFF",
            b"10000000000000003", b"3.0", b"3 3", b"\xd9\xa3", b"CANARY", b"3\x0b",
        )
    ),
    bad("chunk longer than its size", post(CHUNKED, b"3\r\nabcdef\r\n0\r\n\r\n" + SMUGGLED)),
    bad("chunk shorter than its size", post(CHUNKED, b"5\r\nabc\r\n0\r\n\r\n" + SMUGGLED)),
    bad("chunk ends with LF", post(CHUNKED, b"3\r\nabc\n0\r\n\r\n" + SMUGGLED)),
    bad("chunk ends with CR", post(CHUNKED, b"3\r\nabc\r0\r\n\r\n" + SMUGGLED)),
    bad("chunk size ends with LF", post(CHUNKED, b"3\nabc\r\n0\r\n\r\n" + SMUGGLED)),
    bad("chunk size ends with CR", post(CHUNKED, b"3\rabc\r\n0\r\n\r\n" + SMUGGLED)),
    bad("last chunk ends with LF", post(CHUNKED, b"3\r\nabc\r\n0\n\r\n" + SMUGGLED)),
    bad("body ends with LF", post(CHUNKED, b"3\r\nabc\r\n0\r\n\n" + SMUGGLED)),
    bad("extension with LF", post(CHUNKED, b"3;a\nb\r\nabc\r\n0\r\n\r\n" + SMUGGLED)),
    bad("extension with CR", post(CHUNKED, b"3;a\rb\r\nabc\r\n0\r\n\r\n" + SMUGGLED)),
    bad("extension with NUL", post(CHUNKED, b"3;a\x00b\r\nabc\r\n0\r\n\r\n" + SMUGGLED)),
    bad("trailer with a space before its colon", post(CHUNKED, b"0\r\nX : y\r\n\r\n" + SMUGGLED)),
    bad("trailer with LF", post(CHUNKED, b"0\r\nX: y\n\r\n" + SMUGGLED)),
    bad("trailer without a colon", post(CHUNKED, b"0\r\nCANARY\r\n\r\n" + SMUGGLED)),
    fine("chunks", post(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"), *TAKEN),
    fine("chunk size in capitals", post(CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n"), *TAKEN),
    fine("chunk size with zeros in front", post(CHUNKED, b"0003\r\nabc\r\n000\r\n\r\n"), *TAKEN),
    fine("no chunks", post(CHUNKED, b"0\r\n\r\n"), *TAKEN),
    fine("extension", post(CHUNKED, b"3;a=b\r\nabc\r\n0\r\n\r\n"), *TAKEN),
    fine("trailer", post(CHUNKED, b"3\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n"), *TAKEN),
    fine("trailer that would sign in", post(CHUNKED, b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"), *TAKEN),
    bad("trailer with a host", post(CHUNKED, b"3\r\nabc\r\n0\r\nHost: evil\r\n\r\n" + SMUGGLED)),
    bad("trailer with a length", post(CHUNKED, b"3\r\nabc\r\n0\r\nContent-Length: 30\r\n\r\n" + SMUGGLED)),
    bad("trailer with a coding", post(CHUNKED, b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED)),
    fine("a chunk that looks like a request", post(CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)), *TAKEN),
    Case("chunks cut short", post(CHUNKED, b"5\r\nabc"), (), then="fin"),
    Case("chunks without an end", post(CHUNKED, b"3\r\nabc\r\n"), (), then="fin"),
]  # fmt: skip

LINES = [
    bad("bare LF after the request line", b"GET /healthz HTTP/1.1\nHost: a\r\n\r\n"),
    bad("bare LF after a header", b"GET /healthz HTTP/1.1\r\nHost: a\nX: CANARY\r\n\r\n"),
    bad("bare LF everywhere", b"GET /healthz HTTP/1.1\nHost: a\n\n"),
    bad("bare LF at the end", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\n"),
    bad("bare CR in a value", get(b"/healthz", b"X: a\rb\r\n")),
    bad("bare CR in a name", get(b"/healthz", b"X\rY: a\r\n")),
    bad("bare CR after the request line", b"GET /healthz HTTP/1.1\rHost: a\r\n\r\n"),
    bad("CR CR LF", b"GET /healthz HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    bad("folded value", get(b"/healthz", b"X: a\r\n b\r\n")),
    bad("folded with a tab", get(b"/healthz", b"X: a\r\n\tb\r\n")),
    bad("folded first header", b"GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n"),
    bad("folded blank", get(b"/healthz", b"X: a\r\n \r\n")),
    bad("NUL in a value", get(b"/healthz", b"X: a\x00b\r\n")),
    bad("NUL in a name", get(b"/healthz", b"X\x00Y: a\r\n")),
    bad("NUL in the method", b"GE\x00T /healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("NUL in the path", get(b"/heal\x00thz")),
    bad("space before a colon", get(b"/healthz", b"X : a\r\n")),
    bad("tab before a colon", get(b"/healthz", b"X\t: a\r\n")),
    bad("space in a name", get(b"/healthz", b"X Y: a\r\n")),
    bad("no colon", get(b"/healthz", b"CANARY\r\n")),
    bad("no name", get(b"/healthz", b": CANARY\r\n")),
    bad("control character in a value", get(b"/healthz", b"X: \x01CANARY\r\n")),
    bad("delete in a value", get(b"/healthz", b"X: \x7fCANARY\r\n")),
    bad("name with UTF-8", get(b"/healthz", "Ü: a\r\n".encode())),
    bad("name with brackets", get(b"/healthz", b"X[0]: a\r\n")),
    bad("name with at", get(b"/healthz", b"X@Y: a\r\n")),
    bad("name quoted", get(b"/healthz", b'"X": a\r\n')),
    fine("value with Latin-1", get(b"/healthz", b"X: \xfc\r\n"), 200),
    fine("value with UTF-8", get(b"/healthz", "X: ü\r\n".encode()), 200),
    fine("value with a tab", get(b"/healthz", b"X: a\tb\r\n"), 200),
    fine("value empty", get(b"/healthz", b"X:\r\n"), 200),
    fine("value of spaces", get(b"/healthz", b"X:   \r\n"), 200),
    fine("name of every token character", get(b"/healthz", b"!#$%&'*+-.^_`|~: a\r\n"), 200),
    fine("blank line first", b"\r\n" + get(b"/healthz"), 200),
    # RFC 9112 section 3 lets a server take any run of spaces here; nginx does too.
    fine("two spaces after the method", b"GET  /healthz HTTP/1.1\r\n" + H + b"\r\n", 200, 400),
    fine("two spaces before the version", b"GET /healthz  HTTP/1.1\r\n" + H + b"\r\n", 200, 400),
    bad("tab after the method", b"GET\t/healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("tab before the version", b"GET /healthz\tHTTP/1.1\r\n" + H + b"\r\n"),
    bad("space after the version", b"GET /healthz HTTP/1.1 \r\n" + H + b"\r\n"),
    bad("space first", b" GET /healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("space in the path", b"GET /health z HTTP/1.1\r\n" + H + b"\r\n"),
    bad("no path", b"GET HTTP/1.1\r\n" + H + b"\r\n"),
    bad("only a method", b"GET\r\n\r\n"),
    bad("TLS on this port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03CANARY\r\n\r\n"),
    bad("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    bad("a proxy's line", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + get(b"/healthz")),
    bad("words", b"CANARY CANARY CANARY\r\n\r\n"),
]

HOSTS = [
    bad("host missing", b"GET /healthz HTTP/1.1\r\n\r\n"),
    bad("host twice", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    bad("host twice, same", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    bad("host twice, other case", b"GET /healthz HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"),
    *(
        bad(f"host {value!r}", b"GET /healthz HTTP/1.1\r\nHost: " + value + b"\r\n\r\n")
        for value in (
            b"", b"a, b", b"a,b", b"user@a", b"user:pw@a", b"a/CANARY", b"a?x", b"a#x", b"a b", b"a\tb", b"a:port", b"a:", b":80",
            b"http://a", b"a:80:80", b"[::1", b"::1]", b"a%00", b"a\\b", b"<CANARY>", b"a:-1", b"a:123456", b"[zz]", b"a;b", b"\"a\"",
            b"x" * 300, "ü".encode(), b"\xff", b"a'b", b"a(b)",
        )
    ),
    *(
        fine(f"host {value!r}", b"GET /healthz HTTP/1.1\r\nHost: " + value + b"\r\n\r\n", 200)
        for value in (b"a", b"a.example", b"a:8080", b"127.0.0.1", b"127.0.0.1:80", b"[::1]", b"[::1]:80", b"a_b", b"a.example.", b" a ")
    ),
    Case("host missing in HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", ((200,),), then="wait"),
    bad("host bad in HTTP/1.0", b"GET /healthz HTTP/1.0\r\nHost: a@b\r\n\r\n"),
]  # fmt: skip

VERSIONS = [
    *(
        bad(f"version {version!r}", b"GET /healthz " + version + b"\r\n" + H + b"\r\n", 505)
        for version in (
            b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/1.10", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/11",
            b"HTTP/1.1.1", b"http/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1.1\x00", b"HTTP/+1.1", b"HTP/1.1", b"ICY/1.1", b"CANARY",
            b"HTTP/01.1", b"HTTP/1,1",
        )
    ),
    # The parser knows these two by name and takes them for HTTP of the same number; they are framed alike.
    bad("RTSP/1.0", b"GET /healthz RTSP/1.0\r\n" + H + b"\r\n", 200, 505),
    bad("ICE/1.0", b"GET /healthz ICE/1.0\r\n" + H + b"\r\n", 200, 505),
    bad("HTTP/0.9", b"GET /healthz\r\n\r\n", 505),
    bad("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, 505),
    Case("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n" + H + b"\r\n", ((200,),), then="wait"),
    fine("HTTP/1.0 that keeps alive", b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n" + H + b"\r\n", 200),
    Case("connection close", get(b"/healthz", b"Connection: close\r\n"), ((200,),), then="wait"),
    Case("connection close in a list", get(b"/healthz", b"Connection: x, close\r\n"), ((200,),), then="wait"),
]  # fmt: skip

METHODS = [
    Case("TRACE", b"TRACE /healthz HTTP/1.1\r\nX: CANARY\r\n" + H + b"\r\n", ((405, 501),)),
    Case("CONNECT", b"CONNECT edge.example:443 HTTP/1.1\r\n" + H + b"\r\n", ((400, 405, 501),)),
    Case("CONNECT with a path", b"CONNECT /healthz HTTP/1.1\r\n" + H + b"\r\n", ((400, 405, 501),)),
    *(
        Case(f"method {method!r}", method + b" /healthz HTTP/1.1\r\n" + H + b"\r\n", ((400, 405, 501),))
        for method in (
            b"BREW", b"get", b"Get", b"GETT", b"G", b"PURGE", b"PROPFIND", b"LOCK", b"M-SEARCH", b"LINK", b"CANARY", b"GET@", b"G" * 200,
            b"\xffGET", b"SOURCE", b"QUERY", b"ANNOUNCE", b"DESCRIBE",
        )
    ),
    *(fine(f"method {method!r} elsewhere", method + b" /healthz HTTP/1.1\r\n" + H + b"\r\n", 405) for method in (b"PUT", b"DELETE", b"PATCH")),
    fine("HEAD", b"HEAD /healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("OPTIONS asterisk", b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", 200, 204, 404, 405),
    bad("GET asterisk", get(b"*")),
    bad("POST asterisk", b"POST * HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n"),
    fine("OPTIONS", b"OPTIONS /hls/x HTTP/1.1\r\n" + H + b"\r\n", 204),
]  # fmt: skip

SIZES = [
    Case("long path", get(b"/" + b"a" * 9000), ((414,),)),
    Case("long query", get(b"/healthz?" + b"a" * 9000), ((414,),)),
    Case("very long path", get(b"/" + b"CANARY" * 30_000), ((414,),)),
    Case("long media path", get(b"/hls/@TOKEN@/@FILM@/1/" + b"a" * 8000 + b".m4s"), ((414,),)),
    Case("long absolute target", get(b"http://edge.example/" + b"a" * 8000), ((414,),)),
    Case("a byte too long", get(b"/healthz?" + b"a" * (8001 - len(b"/healthz?"))), ((414,),)),
    fine("as long as it may be", get(b"/healthz?" + b"a" * (8000 - len(b"/healthz?"))), 200),
    Case("long path and long value", get(b"/" + b"a" * 9000, b"X: " + b"a" * 9000 + b"\r\n"), ((414,),)),
    Case("long path, HTTP/1.0", b"GET /" + b"a" * 9000 + b" HTTP/1.0\r\n" + H + b"\r\n", ((414,),)),
    Case("long value", get(b"/healthz", b"X: " + b"a" * 9000 + b"\r\n"), ((431,),)),
    Case("long value that looks like a path", get(b"/healthz", b"Referer: /" + b"a" * 9000 + b"\r\n"), ((431,),)),
    Case("long name", get(b"/healthz", b"X" * 9000 + b": a\r\n"), ((431,),)),
    Case("very long value", get(b"/healthz", b"X: " + b"CANARY" * 30_000 + b"\r\n"), ((431,),)),
    fine("value of eight thousand", get(b"/healthz", b"X: " + b"a" * 8000 + b"\r\n"), 200),
    Case("many headers", get(b"/healthz", b"".join(b"X-%d: a\r\n" % i for i in range(200))), ((400, 431),)),
    Case("a great many headers", get(b"/healthz", b"X: a\r\n" * 20_000), ((400, 431),)),
    Case("many trailers", post(CHUNKED, b"0\r\n" + b"X: a\r\n" * 20_000 + b"\r\n"), ((400, 413, 431),)),
    fine("path of four thousand", get(b"/rest/v1/" + b"a" * 4000), 404),
    fine("segment of four thousand", get(b"/hls/" + b"a" * 4000 + b"/x.m4s"), 404),
    fine("a hundred headers", get(b"/healthz", b"".join(b"X-%d: a\r\n" % i for i in range(100))), 200),
    Case("body over the limit", post(b"Content-Length: 200000\r\n", b"a" * 200_000), ((413,),), closes=False),
]

TARGETS = [
    fine("absolute", b"GET http://edge.example/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("absolute in capitals", b"GET HTTP://EDGE.EXAMPLE/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    # RFC 9112 section 3.2.2: the target's host is meant, whatever Host says; nobody is let in by either.
    fine("absolute with another host", b"GET http://evil.example/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("absolute with a port", b"GET http://edge.example:80/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("absolute without a path", b"GET http://edge.example HTTP/1.1\r\n" + H + b"\r\n", 200, 404),
    fine("absolute with a query alone", b"GET http://edge.example?x HTTP/1.1\r\n" + H + b"\r\n", 200, 404),
    fine("absolute media", get(b"http://edge.example" + _MEDIA), 200),
    fine("absolute media with another host", get(b"http://evil.example" + _MEDIA), 200),
    fine("absolute playlist with a query", get(b"HTTP://edge.example/hls/@TOKEN@/@FILM@/1/master.m3u8?x=/../y"), 200),
    fine("absolute media with a range", get(b"http://edge.example" + _MEDIA, b"Range: bytes=0-1\r\n"), 206),
    fine("absolute media without a right", get(b"http://edge.example/hls/CANARY/@FILM@/1/video/720p/1.m4s"), 401),
    fine("absolute in absolute", get(b"http://edge.example/http://edge.example" + _MEDIA), 404),
    bad("absolute media without Host", b"GET http://edge.example" + _MEDIA + b" HTTP/1.1\r\n\r\n"),
    bad("absolute with a bad host", b"GET http://a,b/healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("absolute with a bad port", b"GET http://a:b/healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("absolute with a person", b"GET http://a@edge.example/healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("absolute without a host", b"GET http:///healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("absolute, empty host", b"GET http://:80/healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("another scheme", b"GET file:///etc/passwd HTTP/1.1\r\n" + H + b"\r\n"),
    bad("a scheme of one's own", b"GET CANARY://edge.example/healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("authority", b"GET edge.example:80 HTTP/1.1\r\n" + H + b"\r\n"),
    bad("no slash", b"GET healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("only a query", b"GET ?x HTTP/1.1\r\n" + H + b"\r\n"),
    bad("backslash first", b"GET \\healthz HTTP/1.1\r\n" + H + b"\r\n"),
    bad("fragment", get(b"/healthz#CANARY")),
    bad("fragment after a query", get(b"/healthz?x#CANARY")),
    fine("odd query", get(b"/healthz?%00%ff%zz=&&;'\"<CANARY>{}|\\^`"), 200, 400),
    fine("query with slashes", get(b"/healthz?a=/../..//x"), 200),
    fine("query with a question", get(b"/healthz?a?b"), 200),
]

_TRICKS = (
    b"..%2f..%2fetc/passwd", b"%2e%2e/%2e%2e/etc/passwd", b"%252e%252e/etc/passwd", b"../../etc/passwd", b"./x", b"x/./y", b"x/..", b"x/.",
    b"..\\..\\etc\\passwd", b"..%5c..%5cetc", b"a%00", b"a%00.m4s", b"%00", b"%c0%ae%c0%ae/etc", b"%c0%af", b"%ff", b"%e0%80%ae", b"%ed%a0%80",
    b"/etc/passwd", b"a//b", b"a/", b";x=CANARY/y", b"%", b"%2", b"%zz", b"%u002e", b"a%0d%0aX:y", b"a%0aCANARY", b"a%7f", b"\xc3\xbc", b"\xff",
    b"%2f", b"%2F%2F", b"x%2fy", b"...", b"..;/x", b"%e2%80%ae.m4s", b"CON", b"a.m4s.", b"a.m4s%20", b"~root", b".git/config", b".env",
    b"a%2emp4", b"%2e", b"%2E%2E", b"@x", b"a|b", b"a*b", b"$(x)", b"'or'1'='1",
)  # fmt: skip
PATHS = [
    Case(f"path {base.decode()}{trick!r}", get(base + trick), ((400, 404, 405),), closes=not trick.isascii())
    for base in (b"/hls/", b"/hls/@TOKEN@/@FILM@/1/", b"/rest/v1/", b"/storage/v1/object/public/", b"/assets/")
    for trick in _TRICKS
]

RANGES = [
    fine("segment", get(_MEDIA), 200),
    fine("segment by the lane", get(_MEDIA) + b"", 200),
    *(
        fine(f"range {value!r}", get(_MEDIA, b"Range: " + value + b"\r\n"), *statuses)
        for value, statuses in (
            (b"bytes=0-0", (206,)), (b"bytes=0-", (206,)), (b"bytes=-1", (206,)), (b"bytes=-99999999999999", (206,)), (b"bytes=-0", (416,)),
            (b"bytes=99999999-", (416,)), (b"bytes=99999999999999-", (416,)), (b"bytes=5-2", (200,)), (b"bytes=", (200,)), (b"bytes=-", (200,)),
            (b"bytes=a-b", (200,)), (b"bytes=0-0,1-1", (200,)), (b"bytes=" + b"0-," * 1000 + b"0-", (200,)), (b"byte=0-1", (200,)),
            (b"items=0-1", (200,)), (b"bytes 0-1", (200,)), (b"bytes=+0-1", (200,)), (b"bytes=0x0-1", (200,)), (b"bytes=--1", (200,)),
            (b"bytes=" + b"9" * 300 + b"-", (200, 416)), (b"bytes=\xd9\xa0-\xd9\xa9", (200,)), (b"CANARY", (200,)),
        )
    ),
    fine("range, If-Range weak", get(_MEDIA, b"Range: bytes=0-1\r\nIf-Range: W/\"CANARY\"\r\n"), 200),
    fine("range, If-Range date", get(_MEDIA, b"Range: bytes=0-1\r\nIf-Range: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), 200),
    fine("range twice", get(_MEDIA, b"Range: bytes=0-1\r\nRange: bytes=2-3\r\n"), 206, 400, 200),
    fine("range of a playlist", get(b"/hls/@TOKEN@/@FILM@/1/master.m3u8", b"Range: bytes=0-1\r\n"), 200),
    fine("If-None-Match star", get(_MEDIA, b"If-None-Match: *\r\n"), 304),
    fine("If-None-Match of many", get(_MEDIA, b"If-None-Match: " + b"\"x\", " * 1000 + b"\"x\"\r\n"), 200),
]  # fmt: skip

WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
TURNS = [
    fine("expect", post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"), *TAKEN),
    Case("expect something else", post(b"Expect: CANARY\r\nContent-Length: 3\r\n", b"abc"), ((400, 417),)),
    Case("expect something else, no body", get(b"/healthz", b"Expect: CANARY\r\n"), ((400, 417),)),
    fine("expect without a body", get(b"/healthz", b"Expect: 100-continue\r\n"), 200),
    Case("upgrade to a websocket", get(b"/healthz", WEBSOCKET), ((200,),)),
    Case("upgrade to a websocket, then the end", get(b"/healthz", WEBSOCKET), ((200,),), then="wait"),
    Case("upgrade to h2c", get(b"/healthz", H2C), ((200,),)),
    Case("upgrade to anything", get(b"/healthz", b"Connection: Upgrade\r\nUpgrade: CANARY\r\n"), ((200,),)),
    Case("upgrade without a connection header", get(b"/healthz", b"Upgrade: h2c\r\n"), ((200,),)),
    Case("upgrade with a body", post(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", b"abc"), (TAKEN,)),
    Case("upgrade with a request behind", get(b"/healthz", H2C) + SMUGGLED, ((200,),)),
    Case("five at once", get(b"/healthz") * 5, ((200,),) * 5, closes=False),
    Case("media five times at once", get(_MEDIA) * 5, ((200,),) * 5, closes=False),
    Case("posts at once", post(b"Content-Length: 3\r\n", b"abc") * 3, (TAKEN,) * 3, closes=False),
    # In one piece with what cannot be parsed, aiohttp drops the good as well: one refusal, and the end.
    Case("one in order, one not", get(b"/healthz") + b"CANARY\r\n\r\n", ((400,),)),
    Case("close, then more", get(b"/healthz", b"Connection: close\r\n") + SMUGGLED, ((200, 400),)),
    Case("cut off in the request line", b"GET /hea", (), then="fin"),
    Case("cut off in the headers", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: CANARY", (), then="fin"),
    Case("nothing", b"", (), then="fin"),
    Case("media, then the end", get(_MEDIA), ((200,),), then="fin"),
    Case("two, then the end", get(b"/healthz") + get(_MEDIA), ((200,), (200,)), then="fin"),
]  # fmt: skip

CORPUS = [*LENGTHS, *CODINGS, *CHUNKS, *LINES, *HOSTS, *VERSIONS, *METHODS, *SIZES, *TARGETS, *PATHS, *RANGES, *TURNS]
