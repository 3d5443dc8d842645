"""Mail from the effect to a real SMTP server, or to a file; wanted or not; and nothing of it left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from core.database import Database, Row
from core.domain.commands import emit
from core.keys import Key, KeyRing
from core.viewer import service
from edge.effects.line import Done, Line, Outcome, Schedule
from edge.effects.mail import Mail, Post
from edge.effects.outbox import Outbox
from edge.effects.post import FilePost, SmtpPost
from edge.unsubscribing import Unsubscribing
from tests.edge.effects.conftest import ask, clock, couriers, settled

ADA = UUID("00000000-0000-7000-8000-0000000000a1")
SITE = "https://film.example"
SENDER = "Film shop <post@film.example>"


@dataclass
class Letterbox:
    """What an SMTP server took; `answers` are given to recipients in turn before it takes any."""

    got: list[tuple[Envelope, EmailMessage]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    data_answers: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.data_answers:
            return self.data_answers.pop(0)
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.got.append((envelope, message))
        return "250 OK"


class Server(Controller):
    """aiosmtpd on a port that the system chooses; its own way of finding out that it serves needs a fixed one."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def letterbox() -> Iterator[tuple[Letterbox, Server]]:
    box = Letterbox()
    server = Server(box, hostname="127.0.0.1", port=0, ready_timeout=60)
    server.start()
    yield box, server
    server.stop()


@pytest.fixture
async def ada(database: Database) -> Database:
    """Somebody to write to."""
    await ask(
        database, "INSERT INTO users (id, name, email) VALUES ($1, 'Ada', 'ada@example.com')", ADA, viewer=service()
    )
    return database


async def want(database: Database, **payload: Any) -> None:
    filled = {
        "template": "verify_email",
        "user_id": ADA,
        "kind": "transactional",
        "variables": {"token": "t0ken/+="},
        **payload,
    }
    async with database.transaction(service()) as tx:
        await emit(tx, "mail.wanted", f"user:{filled['user_id']}", {k: v for k, v in filled.items() if v is not None})


def line(database: Database, post: Post, tries: int = 5) -> Line:
    mail = Mail(database, post, sender=SENDER, site_url=SITE, clock=clock)
    _, outbox = Outbox(database, mail.deliver).lines()
    return replace(outbox, schedule=Schedule(0.05, 1, 0.05, tries))


async def sent(database: Database, post: Post, count: int = 1, tries: int = 5) -> list[Row]:
    async with couriers(database, [line(database, post, tries)]):
        return await settled(database, count)


class Kept:
    """A post that keeps messages."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def __call__(self, message: EmailMessage) -> Outcome:
        self.messages.append(message)
        return Done("kept")


async def test_a_message_arrives_as_text_and_html(ada: Database, letterbox: tuple[Letterbox, Server]) -> None:
    box, server = letterbox
    await want(ada)
    (row,) = await sent(ada, SmtpPost(f"smtp://127.0.0.1:{server.port}"))
    assert row["outcome"] == "mail sent"
    ((envelope, message),) = box.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("post@film.example", ["ada@example.com"])
    assert message["To"] == "Ada <ada@example.com>"
    assert message["From"] == SENDER
    assert message["Message-ID"] == f"<{row['id']}@film.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    link = f"{SITE}/auth/v1/verify?type=signup&token=t0ken%2F%2B%3D"
    assert link in text.get_content()
    assert link.replace("&", "&amp;") in html.get_content()


async def test_what_it_was_filled_with_is_blanked_and_in_no_log(
    ada: Database,
    letterbox: tuple[Letterbox, Server],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    box, server = letterbox
    box.data_answers = ["451 later"]
    await want(ada, variables={"token": "very-secret"})
    await want(ada, variables={"token": "very-secret"}, template="no_such_template")
    first, second = await sent(ada, SmtpPost(f"smtp://127.0.0.1:{server.port}"), 2)
    assert "very-secret" in str(box.got[0][1].get_body(("plain",)))
    assert "variables" not in json.loads(first["payload"])
    assert first["attempts"] == 2
    assert "no_such_template" in second["last_error"]
    told = caplog.text + "".join(capsys.readouterr()) + str(first["last_error"]) + str(second["last_error"])
    assert "very-secret" not in told
    assert "ada@example.com" not in told


@pytest.mark.rule("podcast-025")
@pytest.mark.rule("podcast-026")
@pytest.mark.rule("podcast-027")
@pytest.mark.parametrize(
    ("kind", "column"),
    [("marketing", "marketing_emails"), ("product", "product_updates"), ("security", "security_alerts")],
)
async def test_mail_that_somebody_does_not_want_is_not_sent(ada: Database, kind: str, column: str) -> None:
    kept = Kept()
    await ask(ada, f"INSERT INTO email_preferences (user_id, {column}) VALUES ($1, false)", ADA, viewer=service())
    await want(ada, kind=kind, template="password_changed")
    (row,) = await sent(ada, kept)
    assert row["outcome"] == f"not sent: no {kind} mail wanted"
    assert kept.messages == []
    await ask(ada, f"UPDATE email_preferences SET {column} = true", viewer=service())
    await want(ada, kind=kind, template="password_changed")
    await sent(ada, kept, 2)
    assert len(kept.messages) == 1
    # What must be said is said whatever they want.
    await ask(
        ada,
        "UPDATE email_preferences SET marketing_emails = false, product_updates = false, security_alerts = false",
        viewer=service(),
    )
    await want(ada)
    await sent(ada, kept, 3)
    assert len(kept.messages) == 2


async def test_who_has_said_nothing_gets_no_marketing_and_the_rest(ada: Database) -> None:
    kept = Kept()
    for kind in ("marketing", "product", "security"):
        await want(ada, kind=kind, template="password_changed")
    rows = await sent(ada, kept, 3)
    assert [row["outcome"] for row in rows] == ["not sent: no marketing mail wanted", "kept", "kept"]


@pytest.mark.rule("lms-070")
async def test_a_tenants_own_text_goes_before_the_installations_and_ours(ada: Database) -> None:
    kept = Kept()
    insert = (
        "INSERT INTO notification_templates (tenant_id, name, subject, body, type)"
        " VALUES ({}, 'verify_email', $1, '{{{{ name }}}} {{{{ token }}}}', 'reminder')"
    )
    for tenant, subject in (("NULL", "House: {{ name }}"), ("app_tenant_id()", "Tenant: {{ name }}")):
        await ask(ada, insert.format(tenant), subject, viewer=service())
        await want(ada)
        await sent(ada, kept, len(kept.messages) + 1)
    assert [message["Subject"] for message in kept.messages] == ["House: Ada", "Tenant: Ada"]
    body = kept.messages[1].get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == "Ada t0ken/+="


async def test_an_invitation_goes_to_who_has_no_account(ada: Database) -> None:
    kept = Kept()
    await want(ada, user_id=None, to="new@example.org", template="invitation", kind="transactional")
    await sent(ada, kept)
    assert kept.messages[0]["To"] == "new <new@example.org>"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"template": "unheard_of"}, "there is no template 'unheard_of'"),
        ({"user_id": uuid4()}, "there is no such user any more"),
        ({"variables": {}}, "wants a variable 'link'"),
        ({"to": "a@example.com\r\nBcc: b@example.com"}, "cannot be written to"),
        ({"to": "two@example.com, three@example.com"}, "cannot be written to"),
        ({"to": ""}, "cannot be written to"),
        ({"kind": "spam"}, "not a mail"),
        ({"extra": 1}, "not a mail"),
    ],
)
async def test_what_cannot_be_sent_is_given_up_with_the_reason(
    ada: Database, payload: dict[str, Any], why: str
) -> None:
    kept = Kept()
    await want(ada, **payload)
    (row,) = await sent(ada, kept)
    assert (row["attempts"], kept.messages) == (1, [])
    assert why in row["last_error"]


@pytest.mark.parametrize(
    ("answers", "data_answers", "ends"),
    [
        (["550 no such mailbox"], [], "the server refused the address (550)"),
        ([], ["554 this is spam"], "the server refused the message (554)"),
        (["451 greylisted", "451 greylisted"], ["452 disk full"], "mail sent"),
        (["450 busy"] * 9, [], "given up after 5 tries: the server wants it later (450)"),
    ],
)
async def test_what_a_server_refuses_for_good_is_dead_and_the_rest_is_tried_again(
    ada: Database, letterbox: tuple[Letterbox, Server], answers: list[str], data_answers: list[str], ends: str
) -> None:
    box, server = letterbox
    box.answers, box.data_answers = answers, data_answers
    await want(ada)
    (row,) = await sent(ada, SmtpPost(f"smtp://127.0.0.1:{server.port}"))
    assert (row["outcome"] or row["last_error"]) == ends


async def test_a_password_is_not_said_where_others_hear_it(letterbox: tuple[Letterbox, Server], ada: Database) -> None:
    """The server offers no TLS: whoever has a password must not go on."""
    box, server = letterbox
    await want(ada)
    (row,) = await sent(ada, SmtpPost(f"smtp://me:secret@127.0.0.1:{server.port}"), tries=1)
    assert "no server took it (SMTPException)" in row["last_error"]
    assert box.got == []


async def test_nobody_there_is_tried_again(ada: Database) -> None:
    await want(ada)
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    (row,) = await sent(ada, SmtpPost(f"smtp://127.0.0.1:{port}"), tries=3)
    assert row["last_error"].startswith("given up after 3 tries: no server took it")


async def test_without_a_server_mail_is_a_file_and_sent_twice_it_is_one(ada: Database, tmp_path: Path) -> None:
    post = FilePost(tmp_path / "outbox" / "mail")
    await want(ada)
    (row,) = await sent(ada, post)
    await ask(
        ada,
        "UPDATE outbox SET delivered_at = NULL, next_attempt_at = now(), payload = payload || $1::text::jsonb",
        json.dumps({"variables": {"token": "x"}}),
    )
    await sent(ada, post)
    (path,) = (tmp_path / "outbox" / "mail").iterdir()
    assert path.name == f"{row['id']}.eml"
    assert path.stat().st_mode & 0o077 == 0
    assert message_from_bytes(path.read_bytes(), policy=default)["To"] == "Ada <ada@example.com>"


@pytest.mark.parametrize(
    ("kind", "site", "told", "one_click"),
    [
        ("product", "https://film.example", True, True),
        ("security", "https://film.example", True, True),
        ("product", "http://localhost:8080", True, False),
        ("transactional", "https://film.example", False, False),
    ],
)
async def test_mail_that_is_not_transactional_says_how_to_be_rid_of_it(
    ada: Database, kind: str, site: str, told: bool, one_click: bool
) -> None:
    kept, links = Kept(), Unsubscribing(KeyRing((Key("k1", b"1" * 48),)))
    mail = Mail(ada, kept, sender=SENDER, site_url=site, clock=clock, unsubscribing=links)
    await want(ada, kind=kind, template="password_changed")
    async with couriers(ada, Outbox(ada, mail.deliver).lines()):
        await settled(ada, 1)
    (message,) = kept.messages
    assert ("List-Unsubscribe" in message) == told
    assert message["List-Unsubscribe-Post"] == ("List-Unsubscribe=One-Click" if one_click else None)
    if told:
        start, _, token = message["List-Unsubscribe"].strip("<>").partition("?token=")
        assert start == f"{site}/mail/unsubscribe"
        assert links.read(token) == (ADA, kind)
        # As it travels: long headers are folded, and must come back whole.
        assert message_from_bytes(message.as_bytes(), policy=default)["List-Unsubscribe"] == message["List-Unsubscribe"]
