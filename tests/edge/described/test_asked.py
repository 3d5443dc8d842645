"""schemathesis asks a running edge for everything that its /openapi.json describes, as each of four: no answer is an error of ours."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core.process import die_with_parent
from edge.cli.tools import SCHEMATHESIS_VENV
from edge.local.valkey import EmbeddedValkey
from tests.conftest import Servers
from tests.edge.described.seeded import SeededEdge, running_seeded
from tests.running import environment

pytestmark = [pytest.mark.needs("schemathesis"), pytest.mark.timeout(1500)]

IDENTITIES = ("nobody", "signed in", "staff", "service")
FEW, MANY = 1, 25
ASK_S, ASK_LONG_S = 1200, 10_000
FAILED = 1
"""schemathesis's exit code when a check failed; others mean that it could not do its work."""


@dataclass(frozen=True)
class Asked:
    """What came of it."""

    code: int
    said: str
    statuses: Counter[int]
    operations: int


def document(url: str) -> Any:
    """What it serves as its description."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=60) as answer:
        return json.load(answer)


def columns(url: str) -> dict[str, list[str]]:
    """Those of each table that is described."""
    schemas = document(url).get("components", {}).get("schemas", {})
    return {
        name.removesuffix(".row"): list(schema["properties"])
        for name, schema in schemas.items()
        if name.endswith(".row")
    }


def ask(
    url: str,
    folder: Path,
    *options: str,
    bearer: str | None = None,
    ids: Mapping[str, Sequence[str]] | None = None,
    timeout_s: int = ASK_S,
) -> Asked:
    """Runs schemathesis against what `url` serves, its operations in their order and the same for the same seed."""
    counts = folder / "counts.json"
    told = folder / "told.json"
    told.write_text(json.dumps({"bearer": bearer, "ids": ids or {}, "columns": columns(url), "counts": str(counts)}))
    given = {
        "ASKING": str(told),
        "SCHEMATHESIS_HOOKS": "asking",
        "PYTHONPATH": str(Path(__file__).parent),
        # The edge is on this machine.
        "NO_PROXY": "*",
    }
    argv = [
        *(
            str(SCHEMATHESIS_VENV / "bin" / "st"),
            "--no-color",
            "run",
            f"{url}/openapi.json",
            "--checks",
            "no_failure_of_ours,as_described",
        ),
        *("--continue-on-failure", "--no-shrink", "--generation-database", "none", "--warnings", "off"),
        *("--request-timeout", "120", *options),
    ]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(given),
        timeout=timeout_s,
        preexec_fn=die_with_parent(),
        cwd=folder,
        check=False,
    )
    answers = json.loads(counts.read_text()) if counts.exists() else []
    statuses: Counter[int] = Counter()
    for _, _, status, times in answers:
        statuses[status] += times
    return Asked(done.returncode, done.stdout, statuses, len({(method, path) for method, path, *_ in answers}))


def drawing(examples: int, number: int) -> tuple[str, ...]:
    """So many requests of each operation, half of them against what is described."""
    return "--phases", "fuzzing", "--max-examples", str(examples), "--seed", str(number)


@pytest.fixture(scope="module")
def seeded(servers: Servers, valkey: EmbeddedValkey) -> Iterator[SeededEdge]:
    """One for all: what one identity changes, the next one finds."""
    with running_seeded(servers, valkey) as edge:
        yield edge


def judge(edge: SeededEdge, who: str, asked: Asked) -> None:
    """Everything was asked, something was answered, and who asked is still who they were."""
    assert asked.code == 0, asked.said[-6000:]
    assert asked.operations == sum(len(methods) for methods in document(edge.url)["paths"].values())
    assert asked.statuses[200] > 0
    assert asked.statuses[400] > 0
    if who in ("signed in", "staff"):
        assert edge.status("/auth/v1/user", edge.bearers[who]) == 200


def test_everything_that_is_described_is_answered(seeded: SeededEdge, tmp_path: Path) -> None:
    who = "staff"  # may do the most that goes through every rule
    judge(seeded, who, ask(seeded.url, tmp_path, *drawing(FEW, 1), bearer=seeded.bearers[who], ids=seeded.ids))


@pytest.mark.long
@pytest.mark.timeout(ASK_LONG_S + 600)
@pytest.mark.parametrize("who", IDENTITIES)
def test_nothing_that_is_asked_is_an_error_of_ours(seeded: SeededEdge, tmp_path: Path, who: str) -> None:
    asked = ask(
        seeded.url, tmp_path, *drawing(MANY, 2), bearer=seeded.bearers[who], ids=seeded.ids, timeout_s=ASK_LONG_S
    )
    ours = sum(times for status, times in asked.statuses.items() if status >= 500)
    print(  # noqa: T201 - a campaign's figure
        f"{who}: {asked.operations} operations, {asked.statuses.total()} requests, {ours} answers of 5xx; {dict(asked.statuses)}"
    )
    judge(seeded, who, asked)


class Ill(BaseHTTPRequestHandler):
    """One path of each kind: in order, failing, away without a word, and busy with one."""

    ANSWERS: Mapping[str, tuple[int, dict[str, str]]] = {
        "/well": (200, {}),
        "/broken": (500, {}),
        "/away": (503, {}),
        "/busy": (503, {"Retry-After": "2"}),
    }

    def do_GET(self) -> None:
        status, headers = self.ANSWERS.get(self.path, (200, {}))
        answers = {"default": {"description": "Any"}}
        paths = {path: {"get": {"responses": answers}} for path in self.ANSWERS}
        about = {"openapi": "3.1.0", "info": {"title": "Ill", "version": "1"}, "paths": paths}
        body = json.dumps(about if self.path == "/openapi.json" else {}).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing."""


@contextmanager
def serving_ill() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ill)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_failure_is_told_of(tmp_path: Path) -> None:
    """The negative control."""
    with serving_ill() as url:
        asked = ask(url, tmp_path, *drawing(FEW, 1))
    assert asked.code == FAILED, asked.said
    assert (asked.operations, set(asked.statuses)) == (4, {200, 500, 503})
    assert "answered 500" in asked.said
    failures = asked.said.partition("= FAILURES =")[2].partition("= SUMMARY =")[0]
    assert {path for path in Ill.ANSWERS if f"GET {path}" in failures} == {"/broken", "/away"}
