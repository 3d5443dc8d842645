"""Which ffmpeg this machine uses: the one the settings name, else the one from the wheel."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from core.domain.media_settings import WorkerSettings
from edge.local.fault import ServiceFault


def ffmpeg_path(settings: WorkerSettings) -> Path:
    """The program. Raises ServiceFault when there is none."""
    if settings.ffmpeg is not None:
        return settings.ffmpeg
    spec = find_spec("imageio_ffmpeg")
    if spec is not None and spec.origin is not None:
        for path in (Path(spec.origin).parent / "binaries").glob("ffmpeg-*"):
            return path
    raise ServiceFault("ffmpeg", "is not installed", "Set PENSTOCK_FFMPEG to one.")
