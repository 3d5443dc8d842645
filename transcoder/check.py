"""The last look before publication: the rules on the files, the samples against those that were decoded, and a first look as a player."""

from __future__ import annotations

import asyncio
from pathlib import Path

from transcoder import encode, encoder
from transcoder.assemble import Generation
from transcoder.encrypt import KEY_NAME, check_encrypted, encrypt_generation
from transcoder.unsound import Rule, Unsound, refusal_of
from transcoder.verify import MASTER, verify
from transcoder.verify_samples import check_samples

BEGINNING_S = 2.0
"""Of every rendition so much is decoded through the playlists; the rest is proven to be what was decoded before."""


async def check_generation(exe: Path, generation: Generation, source_s: float, key: bytes | None = None) -> Generation:
    """Every rule, encryption with `key` where there is one, every sample, the beginning decoded; the generation to publish.

    Raises Refusal that names the rule and the rendition.
    """
    try:
        await asyncio.to_thread(verify, generation.folder, generation.duration, source_s)
        if key is None:
            await asyncio.to_thread(check_samples, generation)
            await _check_beginning(exe, generation)
            return generation
        generation = await asyncio.to_thread(encrypt_generation, generation, key)
        await asyncio.to_thread(check_encrypted, generation, key)
        await asyncio.to_thread(check_samples, generation, key)
        # The decoder, like any player, finds the key where the playlists say; the store never sees it.
        lent = generation.folder / KEY_NAME
        await asyncio.to_thread(lent.write_bytes, key)
        try:
            await _check_beginning(exe, generation)
        finally:
            await asyncio.to_thread(lent.unlink)
    except Unsound as unsound:
        raise refusal_of(unsound) from unsound
    return generation


async def _check_beginning(exe: Path, generation: Generation) -> None:
    folder = generation.folder
    said = await _decode(exe, folder / MASTER, folder)
    if said:
        # Which rendition it was is worth a second look at each, now that nothing will be published.
        for rendition in generation.renditions:
            if rendition.kind != "subtitles" and (found := await _decode(exe, folder / rendition.path, folder)):
                raise Unsound(Rule.DECODE, rendition.path, found)
        raise Unsound(Rule.DECODE, MASTER, said)


async def _decode(exe: Path, playlist: Path, folder: Path) -> str:
    argv = encode.decode_argv(exe, playlist, BEGINNING_S)
    return (await encoder.run(argv, BEGINNING_S, reads=[folder], writes=folder))[-500:]
