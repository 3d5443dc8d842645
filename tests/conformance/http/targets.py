"""What is asked for: targets, paths, ranges (corpus.py puts them together)."""

from __future__ import annotations

from tests.conformance.http.case import MEDIA, Case, H, bad, fine, get

TARGETS = [
    fine("absolute", b"GET http://edge.example/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("absolute in capitals", b"GET HTTP://EDGE.EXAMPLE/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    # RFC 9112 section 3.2.2: the target's host is meant, whatever Host says; nobody is let in by either.
    fine("absolute with another host", b"GET http://evil.example/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("absolute with a port", b"GET http://edge.example:80/healthz HTTP/1.1\r\n" + H + b"\r\n", 200),
    fine("absolute without a path", b"GET http://edge.example HTTP/1.1\r\n" + H + b"\r\n", 200, 404),
    fine("absolute with a query alone", b"GET http://edge.example?x HTTP/1.1\r\n" + H + b"\r\n", 200, 404),
    fine("absolute media", get(b"http://edge.example" + MEDIA), 200),
    fine("absolute media with another host", get(b"http://evil.example" + MEDIA), 200),
    fine("absolute playlist with a query", get(b"HTTP://edge.example/hls/@TOKEN@/@FILM@/1/master.m3u8?x=/../y"), 200),
    fine("absolute media with a range", get(b"http://edge.example" + MEDIA, b"Range: bytes=0-1\r\n"), 206),
    fine("absolute media without a right", get(b"http://edge.example/hls/CANARY/@FILM@/1/video/720p/1.m4s"), 401),
    fine("absolute in absolute", get(b"http://edge.example/http://edge.example" + MEDIA), 404),
    bad("absolute media without Host", b"GET http://edge.example" + MEDIA + b" HTTP/1.1\r\n\r\n"),
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
    fine("segment", get(MEDIA), 200),
    fine("segment by the lane", get(MEDIA) + b"", 200),
    *(
        fine(f"range {value!r}", get(MEDIA, b"Range: " + value + b"\r\n"), *statuses)
        for value, statuses in (
            (b"bytes=0-0", (206,)), (b"bytes=0-", (206,)), (b"bytes=-1", (206,)), (b"bytes=-99999999999999", (206,)), (b"bytes=-0", (416,)),
            (b"bytes=99999999-", (416,)), (b"bytes=99999999999999-", (416,)), (b"bytes=5-2", (200,)), (b"bytes=", (200,)), (b"bytes=-", (200,)),
            (b"bytes=a-b", (200,)), (b"bytes=0-0,1-1", (200,)), (b"bytes=" + b"0-," * 1000 + b"0-", (200,)), (b"byte=0-1", (200,)),
            (b"items=0-1", (200,)), (b"bytes 0-1", (200,)), (b"bytes=+0-1", (200,)), (b"bytes=0x0-1", (200,)), (b"bytes=--1", (200,)),
            (b"bytes=" + b"9" * 300 + b"-", (200, 416)), (b"bytes=\xd9\xa0-\xd9\xa9", (200,)), (b"CANARY", (200,)),
        )
    ),
    fine("range, If-Range weak", get(MEDIA, b"Range: bytes=0-1\r\nIf-Range: W/\"CANARY\"\r\n"), 200),
    fine("range, If-Range date", get(MEDIA, b"Range: bytes=0-1\r\nIf-Range: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), 200),
    fine("range twice", get(MEDIA, b"Range: bytes=0-1\r\nRange: bytes=2-3\r\n"), 206, 400, 200),
    fine("range of a playlist", get(b"/hls/@TOKEN@/@FILM@/1/master.m3u8", b"Range: bytes=0-1\r\n"), 200),
    fine("If-None-Match star", get(MEDIA, b"If-None-Match: *\r\n"), 304),
    fine("If-None-Match of many", get(MEDIA, b"If-None-Match: " + b"\"x\", " * 1000 + b"\"x\"\r\n"), 200),
]  # fmt: skip
