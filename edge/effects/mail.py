"""Mail that a command wanted: who gets it, whether they want it, what it says. How it leaves is edge/effects/post.py's business.

The effect `mail.wanted` holds `{template, user_id or to, variables, kind}`. The message is made when it is delivered, and what it
was filled with, often a token, is blanked from the row then; neither is ever logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import msgspec

from core.database import Database
from core.queries import load
from core.viewer import service
from edge.effects.letter import Letter, Template, VariableMissing, write_letter
from edge.effects.line import Dead, Done, Item, Outcome
from edge.effects.texts import LINK_PATHS, TEXTS
from edge.unsubscribing import PATH as UNSUBSCRIBE_PATH
from edge.unsubscribing import Unsubscribing

SQL = load("edge.effects", "mail.sql")

Post = Callable[[EmailMessage], Awaitable[Outcome]]
Kind = Literal["transactional", "marketing", "product", "security"]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload. `to` is for who has no account yet, or an address that is not theirs yet; it wins over the user's own."""

    template: str
    kind: Kind
    variables: dict[str, str | int | float] = {}
    user_id: UUID | None = None
    to: str | None = None


class Mail:
    """Makes messages and hands them to `post`."""

    def __init__(
        self,
        database: Database,
        post: Post,
        *,
        sender: str,
        site_url: str,
        clock: Callable[[], datetime],
        unsubscribing: Unsubscribing | None = None,
    ) -> None:
        self._database = database
        self._post = post
        self._sender = sender
        self._site_url = site_url
        self._clock = clock
        self._unsubscribing = unsubscribing

    async def deliver(self, item: Item) -> Outcome:
        """Sends one, or finds that it is not wanted."""
        try:
            wanted = msgspec.json.decode(item.row["payload"], type=Wanted)
        except msgspec.ValidationError as error:
            # Of msgspec's message only the place: it never repeats a value, and must not begin to.
            return Dead(f"the payload is not a mail: {error}")
        async with self._database.transaction(service(item.tenant_id)) as tx:
            person = await tx.one(SQL["recipient"], wanted.user_id) if wanted.user_id is not None else None
            found = await tx.one(SQL["template"], wanted.template)
            tenant = await tx.value(SQL["tenant_name"])
        if person is None and wanted.to is None:
            return Dead("there is no such user any more")
        if person is not None and wanted.kind != "transactional" and not person[wanted.kind]:
            return Done(f"not sent: no {wanted.kind} mail wanted")
        template = Template(found["subject"], found["body"], found["html"]) if found else TEXTS.get(wanted.template)
        if template is None:
            return Dead(f"there is no template {wanted.template!r}")
        to = wanted.to if wanted.to is not None else person["email"] if person is not None else ""
        given = {
            "name": person["name"] if person is not None and person["name"] else to.partition("@")[0],
            "email": to,
            "tenant": tenant or "",
            "site": self._site_url,
            **{name: str(value) for name, value in wanted.variables.items()},
        }
        if "link" not in given and "token" in given and wanted.template in LINK_PATHS:
            given["link"] = self._site_url + LINK_PATHS[wanted.template] + quote(given["token"], safe="")
        try:
            letter = write_letter(template, given)
            message = address(letter, self._sender, given["name"], to, item.row["id"], self._clock())
        except VariableMissing as missing:
            return Dead(f"the template {wanted.template!r} wants a variable {str(missing)!r} that was not given")
        except ValueError:
            return Dead("the address cannot be written to")
        if wanted.kind != "transactional" and wanted.user_id is not None and self._unsubscribing is not None:
            token = self._unsubscribing.token(wanted.user_id, wanted.kind)
            let_go(message, f"{self._site_url}{UNSUBSCRIBE_PATH}?token={token}")
        return await self._post(message)


def let_go(message: EmailMessage, link: str) -> None:
    """Adds the way to be sent no more of this (RFC 2369); a mail client goes it by itself where that is https (RFC 8058, section 3.1)."""
    message["List-Unsubscribe"] = f"<{link}>"
    if link.startswith("https://"):
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"


def address(letter: Letter, sender: str, name: str, to: str, effect_id: UUID, now: datetime) -> EmailMessage:
    """The whole message. Its id is the effect's, so that one sent twice is one to who sorts mail. Raises ValueError for a bad address."""
    sender_name, sender_address = parseaddr(sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(sender_name, addr_spec=sender_address)
    try:
        message["To"] = Address("" if name == to else " ".join(name.split()), addr_spec=to)
    except (ValueError, IndexError, MessageError) as error:  # each Python's parser of addresses fails in its own ways
        raise ValueError("bad address") from error
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{effect_id}@{sender_address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message
