"""What the papers print can be typed as it stands: every GET of docs/http-api.md, every `./penstock` command anywhere."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from core.settings import ROOT
from edge.cli.__main__ import app
from tests.demo import ADA, TEST_CARD, Demo
from tests.web import signed_in

PAPERS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FILES = re.compile(r"\S+\.(?:mp4|srt)\b")
ANSWERED = {"/auth/v1/verify": 303}
"""What a sample without its secret is answered, where it is not 200."""
UNASKABLE = ("/auth/v1/authorize",)  # needs a provider, which the operator names


def printed() -> list[str]:
    """The addresses of docs/http-api.md that are asked with GET."""
    return re.findall(r"`GET (/[^`\s]+)`", (ROOT / "docs" / "http-api.md").read_text())


def typed() -> list[str]:
    """The commands in code of the papers, without what is said behind them."""
    text = "\n".join(path.read_text() for path in PAPERS)
    inline = re.findall(r"`\./penstock ([a-z][^`\n]*)`", text)
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S))
    return sorted(
        {*inline, *(line.partition("  ")[0].strip() for line in re.findall(r"^\./penstock (.+)$", blocks, re.M))}
    )


def parse(line: str) -> None:
    """Takes a command apart as `./penstock` does, without running it. Raises what names the word that is wrong."""
    command = typer.main.get_command(app)
    words = shlex.split(line, comments=True)
    while isinstance(command, TyperGroup) and words:
        command = command.commands[words.pop(0)]
    command.make_context("penstock", words)


async def test_every_printed_address_answers(demo: Demo) -> None:
    samples = printed()
    assert len(samples) > 10
    wrong = []
    async with signed_in(demo, ADA) as ada:
        _, rows = await ada.call("GET", f"/rest/v1/contents?select=thumbnail_image_id&id=eq.{demo.id_of(TEST_CARD)}")
        known = {"content_id": demo.id_of(TEST_CARD), "file_id": rows[0]["thumbnail_image_id"], "id": str(ada.user_id)}
        beat = {"content_id": known["content_id"], "position_s": 30, "duration_s": 60, "event": "beat", "seq": 1}
        grant = await ada.play(known["content_id"])
        status, said = await ada.call(
            "POST",
            "/progress",
            json={
                **beat,
                "session_id": grant["session_id"],
                "token": grant["token"],
                "at": datetime.now(UTC).isoformat(),
                "event_id": known["id"],
            },
        )
        assert status == 204, said
        for sample in samples:
            path = sample.format_map(known)
            if path.startswith(UNASKABLE):
                continue
            service = {"Authorization": f"Bearer {demo.service_key}"} if "/admin/" in path else {}
            answer = await ada.get(path, headers={**ada.headers, **service})
            if answer.status != ANSWERED.get(path.partition("?")[0], 200):
                wrong.append((sample, answer.status, answer.body[:200]))
    assert wrong == []


@pytest.mark.parametrize("line", typed())
def test_every_printed_command_is_taken(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES.findall(line):
        Path(name.rpartition("=")[2]).touch()
    parse(line)


@pytest.mark.parametrize("line", ["sead", "seed --usres 3", "subtitles", "jobs shew"])
def test_a_command_that_is_none_is_seen(line: str) -> None:
    # typer has click within it, and does not name its UsageError.
    with pytest.raises(Exception, match=r"sead|shew|No such option|Missing parameter"):
        parse(line)
