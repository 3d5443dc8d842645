"""`penstock deadletters`: batches of heartbeats that could not be written, to be read, put back or thrown away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge.cli.pile import Entry, Kind, Pile, Verb, reach
from edge.local.fault import ServiceFault
from edge.progress.dead import DeadLetter, DeadLetters
from edge.progress.stream import partitions_in_use
from edge.redis_client import RedisError, connect


class _Letters:
    """Dead letters as a pile."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def entries(self) -> AsyncIterator[Entry]:
        async for letter in self._letters.all():
            when = f"{letter.at:%Y-%m-%d %H:%M:%S}Z"
            yield Entry(_facts(letter), (letter.name, when, str(letter.tries), _beat_count(letter), letter.reason))

    async def one(self, name: str) -> Mapping[str, object] | None:
        letter = await self._letters.get(name)
        if letter is None:
            return None
        try:
            beats = [
                {
                    **msgspec.to_builtins(
                        dict(zip(beat.__struct_fields__, msgspec.structs.astuple(beat), strict=True))
                    ),
                    "at": datetime.fromtimestamp(beat.at_ms / 1000, UTC).isoformat(),
                }
                for beat in letter.beats()
            ]
        except (msgspec.DecodeError, msgspec.ValidationError):
            return {**_facts(letter), "unreadable_hex": letter.packed.hex()}
        return {**_facts(letter), "contents": beats}

    async def names(self) -> list[str]:
        return [letter.name async for letter in self._letters.all()]

    async def act(self, verb: Verb, name: str) -> bool:
        return await (self._letters.drop(name) if verb == "drop" else self._letters.replay(name))


@asynccontextmanager
async def _opened(data: Path | None) -> AsyncIterator[Pile]:
    settings, url = reach(data, "PENSTOCK_REDIS_URL", lambda settings: settings.redis_url)
    redis = connect(url)
    try:
        yield _Letters(DeadLetters(redis, await partitions_in_use(redis, settings.progress_partitions)))
    except (RedisError, OSError) as error:
        raise ServiceFault("Redis", f"does not answer ({error})", "Is it running?") from error
    finally:
        await redis.aclose()


def _facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "letter": letter.name,
        "at": letter.at.isoformat(),
        "reason": letter.reason,
        "tries": letter.tries,
        "entry": letter.entry,
        "beats": _beat_count(letter),
    }


def _beat_count(letter: DeadLetter) -> str:
    try:
        return str(len(letter.beats()))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return "?"


def _done(verb: Verb, count: int) -> str:
    return f"{'Dropped' if verb == 'drop' else 'Replayed'} {count} dead letter{'' if count == 1 else 's'}."


DEAD_LETTERS = Kind(
    command="deadletters",
    open=_opened,
    headings=("letter", "set aside", "tries", "beats", "reason"),
    numbers=frozenset({"tries", "beats"}),
    nothing="There are no dead letters.",
    choice="needs names, or --all instead of them",
    done=_done,
    absent="There is no dead letter {}.".format,
)
