"""How mail leaves: over SMTP, or into files where no server is named, for whoever runs an installation without one to read."""

from __future__ import annotations

import asyncio
import os
import ssl
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from edge.effects.line import Again, Dead, Done, Outcome

TIMEOUT_S = 20


class SmtpPost:
    """`smtps://` speaks TLS from the start; `smtp://` turns to it where the server offers, and must before it says a password."""

    def __init__(self, url: str, *, tls_context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._port = parts.port
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._tls = parts.scheme == "smtps"
        self._tls_context = tls_context

    async def __call__(self, message: EmailMessage) -> Outcome:
        """Sends `message`. Refused for good by the server, it is dead; anything else is tried again."""
        try:
            await aiosmtplib.send(
                message,
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._tls,
                start_tls=None if self._tls or self._user is None else True,
                tls_context=self._tls_context,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = {refused.code for refused in error.recipients}
            said = ", ".join(map(str, sorted(codes)))
            return Dead(f"the server refused the address ({said})") if min(codes) >= 500 else _later(said)
        except (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPSenderRefused) as error:
            # Ours to mend, not the message's fault.
            return Again(f"the server does not take mail from us ({error.code})")
        except aiosmtplib.SMTPDataError as error:
            return (
                Dead(f"the server refused the message ({error.code})") if error.code >= 500 else _later(str(error.code))
            )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # Only its kind: what a server says may repeat the address.
            return Again(f"no server took it ({type(error).__name__})")
        return Done("mail sent")


def _later(said: str) -> Again:
    return Again(f"the server wants it later ({said})")


class FilePost:
    """Writes each message to a file of `folder`, readable by its owner alone, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, message: EmailMessage) -> Outcome:
        """Keeps `message`; delivered twice, it is one file."""
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        await asyncio.to_thread(self._write, self._folder / f"{name}.eml", message.as_bytes())
        return Done("mail written to a file")

    def _write(self, path: Path, text: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(path)
