"""The last look before publication: the rules on the files, then a whole decode. Decides what a failure says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from core import errors
from core.errors import Refusal
from transcoder import encode, encoder
from transcoder.assemble import Generation
from transcoder.encrypt import KEY_NAME, check_encrypted, encrypt_generation
from transcoder.unsound import Rule, Unsound
from transcoder.verify import MASTER, verify


async def check_generation(exe: Path, generation: Generation, source_s: float, key: bytes | None = None) -> Generation:
    """Every rule, encryption with `key` where there is one, then a whole decode; the generation to publish.

    Raises Refusal that names the rule and the rendition.
    """
    try:
        await asyncio.to_thread(verify, generation.folder, generation.duration, source_s)
        if key is None:
            await _check_decode(exe, generation)
            return generation
        generation = await asyncio.to_thread(encrypt_generation, generation, key)
        await asyncio.to_thread(check_encrypted, generation, key)
        # The decoder, like any player, finds the key where the playlists say; the store never sees it.
        lent = generation.folder / KEY_NAME
        await asyncio.to_thread(lent.write_bytes, key)
        try:
            await _check_decode(exe, generation)
        finally:
            await asyncio.to_thread(lent.unlink)
    except Unsound as unsound:
        raise Refusal(errors.VERIFY_FAILED, told(unsound), details=str(unsound)) from unsound
    return generation


async def _check_decode(exe: Path, generation: Generation) -> None:
    folder = generation.folder
    said = await _decode(exe, folder / MASTER, generation)
    if said:
        # Which rendition it was is worth a second decode of each, now that nothing will be published.
        for rendition in generation.renditions:
            if rendition.kind != "subtitles" and (found := await _decode(exe, folder / rendition.path, generation)):
                raise Unsound(Rule.DECODE, rendition.path, found)
        raise Unsound(Rule.DECODE, MASTER, said)


async def _decode(exe: Path, playlist: Path, generation: Generation) -> str:
    argv = encode.decode_argv(exe, playlist)
    said = await encoder.run(argv, float(generation.duration), reads=[generation.folder], writes=generation.folder)
    return said[-500:]


def told(unsound: Unsound) -> str:
    """For whoever uploaded it: the decoder's own words name folders of ours."""
    problem = "its decoder complains" if unsound.rule is Rule.DECODE else unsound.problem
    return f"{errors.VERIFY_FAILED.message} Rule {unsound.rule} of {unsound.rendition}: {problem}."
