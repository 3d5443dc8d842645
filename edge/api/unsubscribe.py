"""/mail/unsubscribe: where the links of mail that is not transactional lead (RFC 8058).

A mail client posts, and that is all; a browser is asked first, because scanners of mail open every link that they find.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from core.database import Database
from core.domain.identity import turn_off_mail
from core.keys import KeyRing
from core.viewer import service
from edge.unsubscribing import PATH, Unsubscribing

_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex"><title>{title}</title></head>'
    '<body style="font-family:sans-serif;max-width:36em;margin:4em auto;padding:0 1em"><h1>{title}</h1>{body}</body></html>\n'
)
_NAMES = {"marketing": "newsletters and offers", "product": "product updates", "security": "security alerts"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
}


class UnsubscribeFace:
    """Handlers of the two ways in."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self.database = database
        self.unsubscribing = Unsubscribing(ring)

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [web.get(PATH, self.ask), web.post(PATH, self.turn_off)]

    async def ask(self, request: web.Request) -> web.Response:
        """GET: a page with one button; changes nothing. Raises Refusal BAD_UNSUBSCRIBE_LINK."""
        token = request.query.get("token", "")
        _, kind = self.unsubscribing.read(token)
        form = f'<form method="post" action="?token={escape(token, quote=True)}"><button>Send me no {_NAMES[kind]}</button></form>'
        return _page("No more of this mail?", form)

    async def turn_off(self, request: web.Request) -> web.Response:
        """POST: turns the kind off, however often. The body (`List-Unsubscribe=One-Click`) says nothing that the link does not.

        Raises Refusal BAD_UNSUBSCRIBE_LINK; DatabaseDown.
        """
        user_id, kind = self.unsubscribing.read(request.query.get("token", ""))
        async with self.database.transaction(service()) as tx:
            await turn_off_mail(tx, user_id, kind)
        return _page(
            "Done", f"<p>You will be sent no {_NAMES[kind]} any more. Your preferences turn them on again.</p>"
        )


def _page(title: str, body: str) -> web.Response:
    return web.Response(text=_PAGE.format(title=title, body=body), content_type="text/html", headers=_HEADERS)
