"""The edge behind a real nginx that sends the segments itself: who may have them is still decided here, for each of them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from core.errors import BAD_PLAYBACK_TOKEN
from edge.hls.stored import CACHING
from tests.faults.ward import Ward, fetch, running_ward
from tests.waiting import until, until_now
from tests.web import raw

pytestmark = [pytest.mark.xdist_group("ward"), pytest.mark.timeout(180), pytest.mark.needs("nginx")]

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream penstock {{ server {edge}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://penstock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
        location /penstock-store/ {{
            internal;
            alias {store}/;
            sendfile on;
            add_header Access-Control-Allow-Origin *;
            add_header Access-Control-Expose-Headers "Content-Length, Content-Range, Date, ETag";
            add_header X-Content-Type-Options nosniff;
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    """An installation that hands its segments over."""
    with running_ward(PENSTOCK_ACCEL="/penstock-store", PENSTOCK_TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def nginx(ward: Ward) -> Iterator[str]:
    """Where nginx listens in front of it."""
    folder = ward.installation.settings.data / "run" / "nginx"
    folder.mkdir()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            port=port,
            user="user root;" if os.geteuid() == 0 else "",
            edge=ward.url.removeprefix("http://"),
            store=ward.installation.settings.data / "store",
        )
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    process = subprocess.Popen([program, "-c", configuration, "-e", folder / "error.log"])
    try:

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until_now(answers, 60, "nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def test_nginx_sends_what_the_edge_allows(ward: Ward, nginx: str) -> None:
    async with ward.newcomer() as person:
        grant = await person.play(str(ward.content_id))
        folder = grant["manifest_url"].removesuffix("/master.m3u8")
        expected = (ward.store / "s7.m4s").read_bytes()
        whole = await raw(nginx, f"{folder}/s7.m4s")
        assert (whole.status, whole.body) == (200, expected)
        assert whole.headers["content-type"] == "video/iso.segment"
        assert whole.headers["cache-control"] == CACHING["m4s"]
        assert whole.headers["access-control-allow-origin"] == "*"
        assert "x-accel-redirect" not in whole.headers
        part = await raw(nginx, f"{folder}/s7.m4s", headers={"Range": "bytes=10-19"})
        assert (part.status, part.body, part.headers["content-range"]) == (
            206,
            expected[10:20],
            f"bytes 10-19/{len(expected)}",
        )
        again = await raw(nginx, f"{folder}/s7.m4s", headers={"If-None-Match": whole.headers["etag"]})
        assert again.status == 304
        head = await raw(nginx, f"{folder}/s7.m4s", method="HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(expected)))
        beyond = await raw(nginx, f"{folder}/s7.m4s", headers={"Range": f"bytes={len(expected)}-"})
        assert beyond.status == 416
        assert (await raw(nginx, f"{folder}/missing.m4s")).status == 404


async def test_playlists_come_from_the_edge(ward: Ward, nginx: str) -> None:
    async with ward.newcomer() as person:
        grant = await person.play(str(ward.content_id))
        playlist = await raw(nginx, grant["manifest_url"], headers={"Accept-Encoding": "gzip"})
        assert (playlist.status, playlist.headers["content-encoding"]) == (200, "gzip")
        with_report = await raw(nginx, grant["manifest_url"] + "?CMCD=bs%2Csu")
        assert with_report.headers["etag"] == playlist.headers["etag"]


async def test_nobody_gets_a_file_past_the_edge(ward: Ward, nginx: str) -> None:
    async with ward.newcomer() as person:
        grant = await person.play(str(ward.content_id))
        direct = await raw(nginx, f"/penstock-store/{ward.prefix}/s7.m4s")
        assert direct.status == 404
        token = grant["token"]
        other = token[:-1] + ("B" if token.endswith("A") else "A")
        altered = grant["manifest_url"].replace(token, other).replace("master.m3u8", "s7.m4s")
        refused = await raw(nginx, altered)
        assert (refused.status, BAD_PLAYBACK_TOKEN.code.encode() in refused.body) == (401, True)
        # A segment is asked about each time: access that ends stops the next one.
        assert (await raw(nginx, grant["manifest_url"].replace("master.m3u8", "s8.m4s"))).status == 200
        await ward.change("UPDATE users SET banned = true WHERE id = $1::uuid", person.user_id)

        async def is_refused() -> bool:
            return (await raw(nginx, grant["manifest_url"].replace("master.m3u8", "s8.m4s"))).status == 403

        await until(is_refused, 60, "the ban to take effect")


async def test_the_address_of_the_client_is_the_one_before_nginx(ward: Ward, nginx: str) -> None:
    async with ward.newcomer() as person:
        path, body = f"/play/{ward.content_id}", b'{"device_id": "a"}'
        headers = {**person.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
        for claimed, expected in (("203.0.113.77", "203.0.113.77"), (None, "127.0.0.1")):
            extra = {"X-Forwarded-For": claimed} if claimed else {}
            assert (await raw(nginx, path, method="POST", headers={**headers, **extra}, body=body)).status == 200
            rows = await ward.ask(
                "SELECT host(ip_address) FROM playback_sessions WHERE user_id = $1::uuid ORDER BY id DESC",
                person.user_id,
            )
            # nginx's peer is ourselves, as trusted as nginx here: what it claims to hand on is believed too.
            assert rows[0][0] == expected


async def test_without_nginx_in_front_the_bare_answer_has_no_bytes(ward: Ward) -> None:
    async with ward.newcomer() as person:
        grant = await person.play(str(ward.content_id))
        bare = await fetch(person, grant, "s1.m4s")
        assert (bare.status, bare.body) == (200, b"")
        assert bare.headers["x-accel-redirect"] == f"/penstock-store/{ward.prefix}/s1.m4s"
