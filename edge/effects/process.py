"""One deliverer: opens what the lines stand on, and runs the courier until told to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from core.database import Database
from core.variables import SettingsError
from edge.effects.courier import Courier
from edge.effects.mail import Mail
from edge.effects.outbox import Outbox
from edge.effects.post import FilePost, SmtpPost
from edge.effects.webhook_line import Webhooks
from edge.settings import Settings
from edge.unsubscribing import Unsubscribing

log = structlog.get_logger(__name__)

POOL_SIZE = 8


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_courier(settings: Settings, clock: Callable[[], datetime] = _now) -> AsyncIterator[Courier]:
    """A courier over the database that `settings` name, closed at the end. Raises SettingsError, DatabaseDown."""
    if settings.database_url is None:
        raise SettingsError("PENSTOCK_DATABASE_URL", "is not set", "Set it, or start everything with `./penstock up`.")
    house = settings.house
    database = await Database.connect(
        settings.database_url, name="deliver", max_size=POOL_SIZE, house=house, direct_url=settings.direct_database_url
    )
    post: FilePost | SmtpPost
    if settings.smtp_url is None:
        post = FilePost(settings.mail)
        log.info("mail_goes_to_files", folder=str(settings.mail), mend="PENSTOCK_SMTP_URL names a server")
    else:
        post = SmtpPost(settings.smtp_url)
    mail = Mail(
        database,
        post,
        sender=settings.mail_from,
        site_url=settings.site_url,
        clock=clock,
        unsubscribing=Unsubscribing(settings.secret_keys) if settings.secret_keys else None,
    )
    try:
        async with Webhooks(database, house, clock) as webhooks:
            yield Courier(database, (*Outbox(database, mail.deliver).lines(), webhooks.line()))
    finally:
        await database.close()
