"""Small films made for a test, and files that only look like some."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.local.ffmpeg import ffmpeg_path
from edge.settings import read_settings


async def ffmpeg(*arguments: str | Path) -> None:
    """Runs the bundled ffmpeg. Raises AssertionError with what it said."""
    process = await asyncio.create_subprocess_exec(
        *(str(part) for part in (ffmpeg_path(read_settings({})), "-nostdin", "-v", "error", "-y", *arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 0, err.decode(errors="replace")


async def make_clip(path: Path, *, seconds: float, size: str = "320x180") -> Path:
    """A moving picture with a tone."""
    await ffmpeg(
        *(
            "-f",
            "lavfi",
            "-i",
            f"testsrc2=size={size}:rate=25",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=330:sample_rate=48000",
        ),
        *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", path),
    )
    return path
