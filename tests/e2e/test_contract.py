"""What `./penstock` promises to whoever starts it: its line, its exit codes, its manners when told to end."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.demo import ADA, OTTO, SEAHORSE, VERA, Demo
from tests.e2e.beats import beat
from tests.founded import found
from tests.inside import inside
from tests.running import Penstock, run_penstock
from tests.waiting import until
from tests.web import guest, signed_in

pytestmark = [pytest.mark.timeout(1200)]

UP_S = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a path short enough for sockets, reachable by the account PostgreSQL runs under."""
    made = Path(tempfile.mkdtemp(prefix="psc-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def test_the_ready_line_has_what_it_promises(demo: Demo) -> None:
    said = demo.said
    assert said["ready"] is True
    assert set(said) == {"ready", "url", "anon_key", "service_key", "database_url", "redis_url", "users", "contents"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", said["url"])
    assert {person["email"]: person["role"] for person in said["users"]} == {ADA: "admin", VERA: "user", OTTO: "user"}
    assert all(person["password"] for person in said["users"])
    for item in said["contents"]:
        assert set(item) == {"id", "title", "content_type", "free", "duration_s"}
    types = [item["content_type"] for item in said["contents"]]
    assert types.count("MOVIE") >= 3
    assert types.count("EPISODE") >= 2
    assert types.count("MUSIC") >= 1
    assert {item["free"] for item in said["contents"]} == {True, False}


async def test_nothing_but_the_line_is_on_stdout(demo: Demo) -> None:
    assert demo.penstock.stdout.count("\n") == 1


async def test_everyone_can_sign_in_and_owns_what_is_said(demo: Demo) -> None:
    owned = {}
    for email in (ADA, VERA, OTTO):
        async with signed_in(demo, email) as person:
            status, rows = await person.call(
                "GET", f"/rest/v1/user_library?user_id=eq.{person.user_id}&select=content_id"
            )
            assert status == 200, rows
            owned[email] = len(rows)
    assert owned[VERA] > owned[OTTO] > owned[ADA] == 0


async def test_the_edge_is_no_superuser(demo: Demo) -> None:
    async with inside(demo) as tx:
        role = await tx.connection.fetchrow("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
    assert tuple(role) == (False, False)


async def test_it_says_how_it_is(demo: Demo) -> None:
    async with guest(demo) as nobody:
        assert (await nobody.get("/healthz")).status == 200
        assert await nobody.call("GET", "/readyz") == (200, {"ready": True, "missing": [], "draining": False})
        metrics = (await nobody.get("/metrics", headers={"Accept-Encoding": "identity"})).body.decode()
    assert re.search(r"^penstock_\w+", metrics, re.M)


async def test_a_second_start_is_quick_and_keeps_everything(demo: Demo) -> None:
    """Quick because nothing is encoded again; what was watched, and who was signed in, is still so."""
    async with inside(demo) as tx:
        jobs = await tx.connection.fetchval("SELECT count(*) FROM transcode_jobs")
    async with signed_in(demo, VERA) as vera:
        grant = await vera.play(demo.id_of(SEAHORSE))
        body = [beat(grant, 12.75, 10_000_000, event="pause")]
        assert (await vera.call("POST", "/progress", json=body))[0] == 204
        token = vera.access_token
    before = {item["id"] for item in demo.titles}
    demo.restart()
    async with inside(demo) as tx:
        assert await tx.connection.fetchval("SELECT count(*) FROM transcode_jobs") == jobs
    assert before <= {item["id"] for item in demo.titles}
    async with guest(demo) as vera:
        vera.access_token = token

        async def kept() -> bool:
            status, said = await vera.call("GET", f"/progress/{demo.id_of(SEAHORSE)}")
            return status == 200 and bool(said["position_s"] == 12.75)

        await until(kept, 60, "the position from before")
        assert (await vera.get(grant["manifest_url"])).status == 200, "a grant outlives a restart"


async def test_one_folder_has_one_server(demo: Demo) -> None:
    done = run_penstock("up", "--port", "0", "--data", demo.data)
    assert done.returncode == 2
    assert "already running" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_taken_port_is_said(demo: Demo, folder: Path) -> None:
    port = str(urlsplit(demo.url).port)
    for command in ("up", "demo"):
        done = run_penstock(command, "--port", port, "--data", folder / "d")
        assert done.returncode == 2, done.stderr
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
        assert "--port 0" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_DATABASE_URL", "nonsense"),
        ("PENSTOCK_DATABASE_URL", "postgresql://nobody:s3cr3t@127.0.0.1:9/none"),
        ("PENSTOCK_REDIS_URL", "http://127.0.0.1"),
        ("PENSTOCK_REDIS_URL", "redis://127.0.0.1:9/0"),
        ("PENSTOCK_STORE_URL", "ftp://example.org"),
        ("PENSTOCK_FFMPEG", "/no/such/program"),
        ("PENSTOCK_LISTEN", "everywhere"),
        ("PENSTOCK_LISTEN", "127.0.0.1:99999"),
        ("PENSTOCK_WORKERS", "many"),
        ("PENSTOCK_SECRET_KEYS", "short"),
    ],
)
def test_a_wrong_variable_is_named_with_its_mend(folder: Path, variable: str, value: str) -> None:
    arguments = () if variable == "PENSTOCK_LISTEN" else ("--port", "0")
    done = run_penstock("up", *arguments, "--data", folder / "d", env={variable: value})
    assert done.returncode == 2, done.stderr
    assert f"{variable}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cr3t" not in done.stderr


def test_a_superuser_is_refused(demo: Demo, folder: Path) -> None:
    """Row-level security would not bind it."""
    import json
    from urllib.parse import quote

    password = json.loads((demo.data / "secrets.json").read_bytes())["postgres"]
    socket_folder = demo.database_url.partition("?host=")[2]
    url = f"postgresql://postgres:{password}@/penstock?host={quote(socket_folder, safe='%/')}"
    done = run_penstock("up", "--port", "0", "--data", folder / "d", env={"PENSTOCK_DATABASE_URL": url})
    assert done.returncode == 2, done.stderr
    assert "PENSTOCK_DATABASE_URL: " in done.stderr
    assert "superuser" in done.stderr
    assert password not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_it_started(folder: Path, number: int) -> None:
    found(folder / "d")
    up = Penstock(["up", "--port", "0", "--edges", "1", "--data", folder / "d"])
    up.start()
    up.wait_said("serves at", UP_S)
    url = re.search(r"http://127\.0\.0\.1:(\d+)", up.stderr)
    assert url is not None
    assert len(up.family()) >= 4
    assert up.stop(number) == 0
    assert not (folder / "d" / "postgres" / "postmaster.pid").exists(), "PostgreSQL was not shut down cleanly"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.group(1)))) != 0


def test_a_killed_parent_takes_its_children_along_and_the_next_start_works(folder: Path) -> None:
    found(folder / "d")
    up = Penstock(["up", "--port", "0", "--edges", "1", "--data", folder / "d"])
    up.start()
    up.wait_said("serves at", UP_S)
    up.stop(signal.SIGKILL)
    again = Penstock(["up", "--port", "0", "--edges", "1", "--data", folder / "d"])
    again.start()
    again.wait_said("serves at", UP_S)
    assert again.stop() == 0


@pytest.mark.parametrize("command", ["", "demo", "up", "worker", "publish", "migrate", "test", "check", "bench"])
def test_help_helps(command: str) -> None:
    done = run_penstock(*([command] if command else []), "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_a_worker_of_its_own_needs_to_know_where_to_work() -> None:
    done = run_penstock("worker")
    assert done.returncode == 2
    assert "PENSTOCK_DATABASE_URL" in done.stderr
