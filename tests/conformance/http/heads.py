"""What a head is made of: lines, hosts, versions, methods, sizes (corpus.py puts them together)."""

from __future__ import annotations

from tests.conformance.http.case import CHUNKED, Case, H, bad, fine, get, post

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
