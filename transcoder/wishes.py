"""From what a job asks, and what the installation is set to, to what its ladder is made of."""

from __future__ import annotations

from pathlib import Path

from core.domain.media_tasks import Attempt
from transcoder.codecs import sort_codecs
from transcoder.ladder import Wishes, plan
from transcoder.per_title import measure_title
from transcoder.source import Source
from transcoder.status import Status
from transcoder.workshop import Workshop


async def decide_wishes(
    attempt: Attempt, shop: Workshop, path: Path, source: Source, work: Path, status: Status
) -> Wishes:
    """The codecs asked for, and with quality `auto` the title's own ladder, measured in `work`. Raises Transient."""
    asked = attempt.encoding.over(shop.encoding)
    codecs = sort_codecs(asked.codecs or ())
    if asked.quality != "auto" or source.video is None:
        return Wishes(codecs, top=shop.top)
    fixed = plan(source, Wishes(top=shop.top))
    return Wishes(codecs, await measure_title(shop.exe, path, source, fixed, work, status), shop.top)
