"""Where the objects of a title lie, read out of its playlists as a player does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.web import Person

PLAIN = {"Accept-Encoding": "identity"}


def uris(playlist: str) -> list[str]:
    """Every URI that a playlist names, on lines of their own and in attributes."""
    found = re.findall(r'URI="([^"]+)"', playlist)
    return found + [line for line in playlist.splitlines() if line and not line.startswith("#")]


@dataclass(frozen=True)
class Tree:
    """All playlists of a grant, by path relative to the generation's folder."""

    base: str
    playlists: dict[str, str]

    @property
    def master(self) -> str:
        """The master playlist's text."""
        return self.playlists["master.m3u8"]

    def folder_of(self, name: str) -> str:
        """The path that relative URIs of this playlist start from, ending with a slash."""
        return f"{self.base}/{name.rpartition('/')[0]}".rstrip("/") + "/"


async def read_tree(person: Person, grant: dict[str, Any]) -> Tree:
    """Fetches the master playlist and every media playlist it names."""
    base = grant["manifest_url"].rsplit("/", 1)[0]
    playlists = {"master.m3u8": await text_of(person, grant["manifest_url"])}
    for uri in uris(playlists["master.m3u8"]):
        if uri not in playlists:
            playlists[uri] = await text_of(person, f"{base}/{uri}")
    return Tree(base, playlists)


async def text_of(person: Person, path: str) -> str:
    """A playlist's text. Raises AssertionError when it cannot be had, or is no UTF-8."""
    answer = await person.get(path, headers=PLAIN)
    assert answer.status == 200, (path, answer.status)
    return answer.body.decode("utf-8")


async def media_paths(person: Person, grant: dict[str, Any]) -> list[str]:
    """One path of each kind below a grant: master, media playlist, init, segment."""
    tree = await read_tree(person, grant)
    name = next(line for line in tree.master.splitlines() if line and not line.startswith("#"))
    folder = tree.folder_of(name)
    text = tree.playlists[name]
    init = text.split('#EXT-X-MAP:URI="')[1].split('"')[0]
    segment = next(line for line in text.splitlines() if line and not line.startswith("#"))
    return [f"{tree.base}/master.m3u8", f"{tree.base}/{name}", f"{folder}{init}", f"{folder}{segment}"]
