"""The request a browser sends: Chromium 150's header block for hls.js's fetch, in its order, byte for byte but for the port."""

from __future__ import annotations

_HEADERS = (
    "Connection: keep-alive",
    'sec-ch-ua-platform: "Linux"',
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36",
    'sec-ch-ua: "Not;A=Brand";v="8", "Chromium";v="150"',
    "sec-ch-ua-mobile: ?0",
    "Accept: */*",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "Referer: http://127.0.0.1:{port}/watch/0199a0b2-7c11-7d2e-9f00-5a3c1f2e4b6d",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-US,en;q=0.9",
)


def tail(port: int) -> str:
    """All of a request after its target."""
    lines = "\r\n".join((f"Host: 127.0.0.1:{port}", *_HEADERS)).replace("{port}", str(port))
    return f" HTTP/1.1\r\n{lines}\r\n\r\n"


def request(port: int, target: str) -> bytes:
    """A whole GET."""
    return f"GET {target}{tail(port)}".encode()
