"""How every ffmpeg of ours is called: a source is opened one way, and its argument list compiled one way. Pure.

Every argument is an enum, a number or a path of our own making; nothing a client wrote gets here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ffmpeg

from transcoder.source import MAX_SIDE_PX, READ_OPTIONS

QUIET = ("-nostdin", "-hide_banner", "-nostats")
_INPUT = {**READ_OPTIONS, "max_pixels": MAX_SIDE_PX * MAX_SIDE_PX}


def given(path: Path, **options: Any) -> Any:
    """A hostile file as an input, with further input options."""
    return ffmpeg.input(str(path), **_INPUT, **options)


def compile_argv(exe: Path, outputs: list[Any], *options: str) -> list[str]:
    """One run with all of `outputs`, that says nothing but warnings, each with its level."""
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    merged = merged.global_args(*QUIET, "-loglevel", "level+warning", *options)
    return [str(part) for part in ffmpeg.compile(merged, cmd=str(exe), overwrite_output=True)]
