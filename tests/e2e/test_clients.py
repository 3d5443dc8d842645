"""Other people's client libraries, unchanged: supabase-js signs in and reads, tus-js-client uploads."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from core.settings import ROOT
from edge.cli.tools import node_path
from tests.clips import make_clip
from tests.demo import ADA, VERA, Demo

pytestmark = [pytest.mark.needs("node"), pytest.mark.timeout(1200)]


async def script(name: str, **settings: object) -> dict[str, object]:
    """Runs tests/e2e/<name> with Node; the JSON it prints last."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(ROOT / "tests" / "e2e" / name), json.dumps(settings)),
        env={**os.environ, "PATH": node_path()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode(errors="replace")
    return dict(json.loads(out.decode().strip().splitlines()[-1]))


async def test_supabase_js_signs_in_reads_and_leaves(demo: Demo) -> None:
    said = await script("supabase.mjs", url=demo.url, key=demo.anon_key, email=VERA, password=demo.password_of(VERA))
    assert said["email"] == VERA
    # Other tests publish free titles as well.
    assert said["titles"] >= len([item for item in demo.titles if item["free"]])  # type: ignore[operator]
    assert said["library"] == 4
    assert said["refreshed"] is True
    assert said["wrong"] == "Invalid login credentials."
    assert said["after"] is None


async def test_tus_js_client_uploads_in_pieces_and_goes_on_after_a_break(demo: Demo, tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "clip.mp4", seconds=3)
    said = await script(
        "upload.mjs", url=demo.url, key=demo.anon_key, email=ADA, password=demo.password_of(ADA), path=str(clip)
    )
    assert said["resumed_at"] > 0  # type: ignore[operator]
    assert said["size"] == clip.stat().st_size
    assert said["state"] == "succeeded", said
