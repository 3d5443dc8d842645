"""Files made to harm whoever reads them. Each is bad in one way of its own; `port` is where a listener counts visitors."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from tests.transcoder.sources import FAST, make, picture, sound

SECRET = "/etc/passwd"


def box(kind: bytes, body: bytes = b"", size: int | None = None) -> bytes:
    """One ISO box, its size as it is or as it is claimed."""
    return struct.pack(">I4s", len(body) + 8 if size is None else size, kind) + body


def documents(port: int) -> dict[str, bytes]:
    """Texts that lead to other files and addresses."""
    url = f"http://127.0.0.1:{port}/"
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{url}a.ts\n#EXT-X-ENDLIST\n",
        "hls-key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}k"\n#EXTINF:4,\n{url}a.ts\n',
        "hls-file": f"#EXTM3U\n#EXTINF:4,\nfile://{SECRET}\n#EXT-X-ENDLIST\n",
        "hls-self": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhls-self.mp4\n",
        "hls-late": "\n\n   #EXTM3U\n#EXTINF:4,\n" + url,
        "concat": f"ffconcat version 1.0\nfile '{SECRET}'\n",
        "concat-http": f"ffconcat version 1.0\nfile '{url}'\n",
        "concat-url": f"concat:{SECRET}|{url}\n",
        "subfile-url": f"subfile,,start,0,end,100,,:{SECRET}\n",
        "data-url": "data:video/mp4;base64,AAAA\n",
        "crypto-url": f"crypto:{url}\n",
        "dash": f'<MPD type="static"><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        "dash-empty": '<MPD><Period><AdaptationSet><Representation><SegmentTemplate media=""/></Representation></AdaptationSet></Period></MPD>',
        "dash-entity": f'<?xml version="1.0"?><!DOCTYPE MPD [<!ENTITY x SYSTEM "{url}">]><MPD>&x;</MPD>',
        "smooth": f'<SmoothStreamingMedia Url="{url}"/>',
        "svg": f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>',
        "sdp": f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video {port} RTP/AVP 96\r\n",
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "pls": f"[playlist]\nFile1={url}\n",
        "rtsp": f"RTSPtext\nrtsp://127.0.0.1:{port}/\n",
        "page": f"<!doctype html><video src='{url}'></video>",
        "zip": "PK\x03\x04 and the rest",
        "shell": "#!/bin/sh\ncurl " + url,
        "lines": "#EXTM3U\n" + f"{url}\n" * 20_000,
        "long-line": "#EXTM3U\n#EXTINF:4," + "x" * (1 << 20),
    }
    return {name: text.encode() for name, text in texts.items()}


def boxes() -> dict[str, bytes]:
    """MP4 whose sizes lie."""
    ftyp = box(b"ftyp", b"isom\0\0\2\0isomiso2")
    mvhd = box(b"mvhd", b"\0" * 12 + struct.pack(">II", 1, 0xFFFFFFFF) + b"\0" * 80)
    nested = b""
    for _ in range(500):
        nested = box(b"moov", nested)
    return {
        "size-one": ftyp + struct.pack(">I4sQ", 1, b"mdat", 2**63) + b"\0" * 99,
        "size-below-header": ftyp + box(b"moov", size=4) + b"\0" * 99,
        "size-beyond": ftyp + box(b"moov", mvhd, size=2**31),
        "moov-empty": ftyp + box(b"moov"),
        "moov-twice": ftyp + box(b"moov", mvhd) * 2,
        "moov-nested": ftyp + nested,
        "endless-length": ftyp + box(b"moov", mvhd) + box(b"mdat", b"\0" * 99),
        "boxes-without-end": ftyp + box(b"free") * 100_000,
        "ebml-unknown-size": b"\x1a\x45\xdf\xa3\x84\x42\x82\x81\x77\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\0" * 500,
        "ebml-deep": b"\x1a\x45\xdf\xa3\x84\x42\x82\x81\x77" + b"\x18\x53\x80\x67\x01\0\0\0\0\0\xff\xff" * 500,
        "id3-bomb": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"\0" * 5000,
        "riff-lie": b"RIFF" + struct.pack("<I", 0xFFFFFFF0) + b"AVI LIST" + b"\xff" * 500,
        "wav-rate": b"RIFF" + struct.pack("<I", 36 + 8) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 65535, 2**32 - 1, 0, 0, 0)
        + b"data" + struct.pack("<I", 8) + b"\0" * 8,
        "flac-head": b"fLaC\x80\0\0\x22" + b"\xff" * 34,
        "ogg-pages": (b"OggS\0\2" + b"\xff" * 20 + b"\xff" + b"\xff" * 255) * 50,
        "ts-noise": b"".join(b"\x47" + bytes([n % 256]) * 187 for n in range(500)),
        "noise": random.Random(5).randbytes(100_000),
        "nothing": b"",
        "zeros": b"\0" * 50_000,
        "newline-name": b"#EXTM3U\r\n#EXTINF:1,\r\nfile\n:///etc/passwd",
    }  # fmt: skip


def films(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Real films, damaged or exaggerated."""
    whole = make(
        folder / "seed.mp4", *picture("64x64", seconds=1), *sound(seconds=1), *FAST, "-c:a", "aac"
    ).read_bytes()
    for share in (0.05, 0.3, 0.6, 0.95):
        yield f"cut-{share}", whole[: int(len(whole) * share)]
    chance = random.Random(11)
    for ratio in (0.001, 0.01):
        flipped = bytearray(whole)
        for at in range(len(flipped)):
            if chance.random() < ratio:
                flipped[at] ^= 1 << chance.randrange(8)
        yield f"flipped-{ratio}", bytes(flipped)
    for name, kind, value in (
        ("samples-2-31", b"stts", 0x7FFFFFFF), ("chunks-2-32", b"stco", 0xFFFFFFFF), ("sizes-2-31", b"stsz", 0x7FFFFFFF),
        ("edits-2-31", b"elst", 0x7FFFFFFF), ("offsets-2-31", b"ctts", 0x7FFFFFFF),
    ):  # fmt: skip
        data = bytearray(whole)
        at = data.find(kind)
        if at > 0:
            struct.pack_into(">I", data, at + (12 if kind == b"stsz" else 8), value)
            yield name, bytes(data)
    tall = bytearray(whole)
    at = tall.find(b"avc1", tall.find(b"stsd"))
    struct.pack_into(">HH", tall, at + 28, 65535, 65535)
    yield "dimensions-lie", bytes(tall)
    url = bytearray(whole)
    at = url.find(b"url \0\0\0\1")
    url[at + 4 : at + 8] = b"\0\0\0\0"
    yield "media-elsewhere", bytes(url)
    yield "wide", make(folder / "wide.mkv", *picture("8200x16", seconds=0.2), "-c:v", "ffv1").read_bytes()
    many = [part for number in range(70) for part in ("-map", "0")]
    yield "streams", make(folder / "many.mkv", *sound(seconds=0.2), *many, "-c:a", "pcm_u8").read_bytes()
    letter = folder / "letter.txt"
    letter.write_text("hello")
    attached = make(
        folder / "attached.mkv", *picture("64x64", seconds=1), "-attach", str(letter), "-metadata:s:t", "mimetype=text/plain",
        "-metadata:s:t", "filename=../../../../tmp/penstock-traversal", *FAST,
    )  # fmt: skip
    yield "attachment-traversal", attached.read_bytes()
    # A thousand frames in a few hundred bytes each: a still picture is what compresses best.
    bomb = make(folder / "bomb.mp4", "-f", "lavfi", "-i", "color=s=16x16:r=60:d=60", *FAST, "-g", "9999")
    yield "frames-bomb", bomb.read_bytes()
    yield "still", make(folder / "still.png", *picture("64x64", seconds=0.04), "-frames:v", "1").read_bytes()
    words = folder / "words.ass"
    words.write_text(
        "[Script Info]\n[V4+ Styles]\n[Events]\nFormat: Layer, Start, End, Text\n"
        "Dialogue: 0,0:00:00.00,0:00:01.00,{\\fs99999\\t(0,1,\\frz99999)}" + "x" * 5000 + "\n"
    )
    yield (
        "ass-overrides",
        make(folder / "ass.mkv", *picture("64x64", seconds=1), "-i", str(words), *FAST, "-c:s", "ass").read_bytes(),
    )


def corpus(folder: Path, port: int) -> dict[str, Path]:
    """Every file, written into `folder`, by name."""
    work = folder / "made"
    work.mkdir(parents=True)
    found = {**documents(port), **boxes(), **dict(films(work))}
    paths = {}
    for number, (name, data) in enumerate(sorted(found.items())):
        paths[name] = folder / f"{number:03d}.mp4"
        paths[name].write_bytes(data)
    return paths


def variations(paths: dict[str, Path], folder: Path, count: int) -> dict[str, Path]:
    """`count` more, each one of the films with random damage."""
    folder.mkdir(parents=True)
    chance = random.Random(23)
    names = [name for name in sorted(paths) if paths[name].stat().st_size > 500]
    made = {}
    for number in range(count):
        data = bytearray(paths[chance.choice(names)].read_bytes())
        for _ in range(chance.randrange(1, 200)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = folder / f"v{number:03d}.mp4"
        path.write_bytes(data[: chance.randrange(len(data) // 2, len(data) + 1)])
        made[f"variation-{number}"] = path
    return made
