"""/storage/v1/upload/resumable: tus for staff. The last byte turns an upload into a title with an encoding job, or into
subtitles of one, in one transaction.
"""

from __future__ import annotations

import asyncio
import mimetypes
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import cast
from uuid import UUID

from aiohttp import web

from core.database import Database
from core.domain import media, media_texts
from core.domain.media_encoding import Encoding, read_codecs
from core.domain.media_subtitles import TextKind
from core.domain.media_texts import NewText
from core.errors import (
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    PRECONDITION_FAILED,
    SIGN_IN_NEEDED,
    UNSUPPORTED_TYPE,
    UPLOAD_CONFLICT,
    Refusal,
    bad_field,
)
from core.ids import uuid7
from core.objects import ObjectStore
from core.viewer import Viewer, service
from edge.api import tus
from edge.api.access import Gate
from edge.api.partial import Note, Partials, checksum_of, expires_at
from edge.api.target import parse_id

BASE = "/storage/v1/upload/resumable"
_YES = frozenset({"true", "1", "yes"})
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")


@dataclass(slots=True)
class UploadFace:
    """Handlers of the tus protocol."""

    database: Database
    objects: ObjectStore
    gate: Gate
    partials: Partials

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        one = BASE + "/{upload_id}"
        return [
            web.options(BASE, self.options),
            web.options(one, self.options),
            web.post(BASE, self.create),
            web.post(one, self.overridden),
            web.head(one, self.head),
            web.patch(one, self.patch),
            web.delete(one, self.delete),
        ]

    async def options(self, request: web.Request) -> web.Response:
        """What we speak."""
        return _answer(
            204,
            {
                "Tus-Version": tus.VERSION,
                "Tus-Extension": tus.EXTENSIONS,
                "Tus-Max-Size": str(tus.MAX_SIZE_BYTES),
                "Tus-Checksum-Algorithm": ",".join(tus.CHECKSUMS),
            },
        )

    async def create(self, request: web.Request) -> web.Response:
        """201 with the Location to send bytes to."""
        tus.require_version(request.headers)
        viewer = await self._staff(request)
        note = _note(request, viewer, time.time())
        promised = await asyncio.to_thread(self.partials.promised_bytes, note.tenant_id, time.time())
        async with self.database.transaction(service(note.tenant_id)) as tx:
            await media.check_quota(tx, promised + note.length)
            if note.text is not None:
                await media_texts.check_place(tx, note.text.content_id)
        await asyncio.to_thread(self.partials.create, note)
        return _answer(201, {"Location": f"{BASE}/{note.id}", "Upload-Expires": _expires(note)})

    async def head(self, request: web.Request) -> web.Response:
        """How far it has come."""
        tus.require_version(request.headers)
        note = await self._note_of(request)
        told = {"Upload-Metadata": note.metadata} if note.metadata else {}
        return _answer(
            200,
            {
                "Upload-Offset": str(self.partials.offset(note)),
                "Upload-Length": str(note.length),
                "Upload-Expires": _expires(note),
                **told,
            },
        )

    async def patch(self, request: web.Request) -> web.Response:
        """Takes bytes; the last ones make the title and its job before the answer."""
        tus.require_version(request.headers)
        if request.content_type != tus.CHUNK_TYPE:
            raise Refusal(UNSUPPORTED_TYPE, hint=f"Send {tus.CHUNK_TYPE}.")
        note = await self._note_of(request)
        offset = tus.number(request.headers, "Upload-Offset")
        wanted = tus.checksum(request.headers.get("Upload-Checksum"))
        if self.partials.is_done(note.id):
            if offset != note.length:
                raise Refusal(UPLOAD_CONFLICT, f"The upload is at {note.length}.", data={"offset": note.length})
            return _answer(204, {"Upload-Offset": str(note.length), "Upload-Expires": _expires(note)})
        with self.partials.locked(note.id):
            here = await self.partials.append(note, offset, _chunks(request), wanted)
            if here == note.length:
                await self._finish(note)
        return _answer(204, {"Upload-Offset": str(here), "Upload-Expires": _expires(note)})

    async def delete(self, request: web.Request) -> web.Response:
        """Gives the upload up."""
        tus.require_version(request.headers)
        note = await self._note_of(request)
        with self.partials.locked(note.id):
            self.partials.remove(note.id)
        return _answer(204, {})

    async def overridden(self, request: web.Request) -> web.Response:
        """A POST that stands for another method, from where nothing else gets through (section "X-HTTP-Method-Override")."""
        methods = {"PATCH": self.patch, "HEAD": self.head, "DELETE": self.delete}
        named = request.headers.getall("X-HTTP-Method-Override", [])
        method = methods.get(named[0]) if len(named) == 1 else None
        if method is None:
            raise Refusal(METHOD_NOT_ALLOWED, data={"allowed": ["DELETE", "HEAD", "OPTIONS", "PATCH"]})
        return await method(request)

    async def _finish(self, note: Note) -> None:
        """Object first, then the rows that name it: a failure in between leaves an object nobody names, not a broken title."""
        async with self.database.transaction(service(note.tenant_id)) as tx:
            # Before the bytes are copied; what came in since its creation counts too.
            await media.check_quota(tx, note.length)
        path = self.partials.path(note.id)
        if note.text is not None and (refusal := await asyncio.to_thread(_check_text, path)):
            self.partials.remove(note.id)
            raise refusal
        key = f"files/{note.id}/source"
        checksum = await asyncio.to_thread(checksum_of, path)
        await self.objects.put(key, path)
        await self.objects.sync(key)
        file = media.NewFile(
            file_id=note.id,
            name=note.filename,
            size_bytes=note.length,
            mime_type=mimetypes.guess_type(note.filename)[0] or "application/octet-stream",
            checksum=checksum,
            storage_provider=self.objects.provider,
            bucket=self.objects.bucket,
            storage_key=key,
            uploader_id=note.uploader_id,
        )
        async with self.database.transaction(service(note.tenant_id)) as tx:
            if note.text is not None:
                await media.submit_text(tx, file, note.text)
            else:
                await media.submit(tx, file, _title(note))
        self.partials.finish(note.id)

    async def _staff(self, request: web.Request) -> Viewer:
        viewer = await self.gate.viewer(request)
        if viewer.role == "anon":
            raise Refusal(SIGN_IN_NEEDED)
        if not viewer.is_staff:
            raise Refusal(FORBIDDEN, "Only staff may upload.")
        return viewer

    async def _note_of(self, request: web.Request) -> Note:
        viewer = await self._staff(request)
        upload_id: UUID = parse_id(request.match_info["upload_id"], "upload_id")
        note = self.partials.note(upload_id, time.time())
        if note.tenant_id != viewer.tenant_id or (note.uploader_id != viewer.user_id and viewer.role != "service_role"):
            raise Refusal(FORBIDDEN, "That upload is another person's.")
        return note


def _note(request: web.Request, viewer: Viewer, now: float) -> Note:
    length = tus.upload_length(request.headers)
    told = ",".join(request.headers.getall("Upload-Metadata", ()))
    values = tus.metadata(told)
    filename = _UNSAFE.sub("_", values.get("filename", "").strip())[:200] or "upload"
    text = _text(values, length) if "subtitles_of" in values else None
    title = media.NewTitle(
        title=values.get("title", "").strip() or filename.rpartition(".")[0] or filename,
        content_type=values.get("content_type", "MOVIE"),
        description=values.get("description") or None,
        is_free=values.get("is_free", "false").lower() in _YES,
        language=values.get("language") or None,
        encoding=Encoding(
            read_codecs(values["codecs"]) if values.get("codecs") else None,
            values.get("quality") or None,
            None if not values.get("encrypt") else values["encrypt"].lower() in _YES,
        ),
    )
    if refusal := media.check_title(title):
        raise refusal
    if length == 0:
        raise bad_field("Upload-Length", "must not be 0: an empty file is no media")
    return Note(
        id=uuid7(),
        length=length,
        uploader_id=viewer.user_id,
        tenant_id=viewer.tenant_id,
        filename=filename,
        title=title.title,
        content_type=title.content_type,
        description=title.description,
        is_free=title.is_free,
        language=title.language,
        encoding=title.encoding,
        text=text,
        metadata=told,
        expires_at=expires_at(now),
    )


def _text(values: Mapping[str, str], length: int) -> NewText:
    """What the metadata say of a subtitle file. Raises Refusal."""
    language = values.get("language", "")
    text = NewText(
        parse_id(values["subtitles_of"], "subtitles_of"),
        language,
        values.get("label", "").strip() or language,
        cast("TextKind", values.get("kind") or "subtitles"),
        values.get("is_default", "false").lower() in _YES,
    )
    if refusal := media_texts.check_text(text, length):
        raise refusal
    return text


def _check_text(path: Path) -> Refusal | None:
    return media_texts.check_document(path.read_bytes())


def _title(note: Note) -> media.NewTitle:
    return media.NewTitle(
        title=note.title,
        content_type=note.content_type,
        description=note.description,
        is_free=note.is_free,
        language=note.language,
        encoding=note.encoding,
    )


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_chunked(256 * 1024):
        yield chunk


async def sign_tus(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer says which tus it speaks, refusals too, and the one about that says which it could (section "Headers")."""
    if request.path.startswith(BASE):
        response.headers.setdefault("Tus-Resumable", tus.VERSION)
        if response.status == PRECONDITION_FAILED.status:
            response.headers["Tus-Version"] = tus.VERSION


def _expires(note: Note) -> str:
    """As HTTP writes moments (RFC 9110 section 5.6.7)."""
    return formatdate(note.expires_at, usegmt=True)


def _answer(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, headers={"Tus-Resumable": tus.VERSION, "Cache-Control": "no-store", **headers})
