"""Where a request ends: lengths, codings, chunks (corpus.py puts them together)."""

from __future__ import annotations

from tests.conformance.http.case import CHUNKED, SMUGGLED, TAKEN, Case, H, bad, fine, get, post

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
