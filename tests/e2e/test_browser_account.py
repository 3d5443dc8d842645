"""What a person does with their account in a browser: a new password by mail, an invitation, what was watched."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from email import message_from_bytes, policy
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, TimeoutError, expect

from tests.demo import TEST_CARD, Demo
from tests.e2e.browser import Visitor, browser, running_browser, visitor
from tests.waiting import until
from tests.web import enter, guest

__all__ = ["browser", "running_browser"]

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.timeout(1200),
    pytest.mark.asyncio(loop_scope="module"),
]

FIRST = "an old horse and a staple"
SECOND = "a new horse and a staple"


@pytest_asyncio.fixture(loop_scope="module")
async def somebody(browser: Browser, demo: Demo) -> AsyncIterator[Visitor]:
    """A guest at a new device."""
    async with visitor(browser, demo) as person:
        yield person


def text_of(path: Path) -> str:
    """The plain text of a mail in the outbox."""
    body = message_from_bytes(path.read_bytes(), policy=policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def links_in(folder: Path, to: str, link: str) -> list[str]:
    """What looks like `link` in the mails to an address."""
    links = []
    for path in folder.glob("*.eml"):
        if message_from_bytes(path.read_bytes(), policy=policy.default)["To"].addresses[0].addr_spec == to:
            links += re.findall(link, text_of(path))
    return links


async def mailed(demo: Demo, to: str, link: str) -> str:
    """Where the mailed link that looks like `link` leads."""

    async def arrived() -> list[str]:
        return await asyncio.to_thread(links_in, demo.data / "outbox" / "mail", to, link)

    return demo.url + (await until(arrived, 60, f"a mail to {to}"))[0]


async def press(page: Page, button: str, wanted: Locator) -> None:
    """Presses, and once more when a machine that stands still has said so, until `wanted` is there."""
    pressed, busy = page.get_by_test_id(button), page.get_by_text("cannot do this right now")
    await pressed.click()

    async def there() -> bool:
        if await busy.is_visible():
            with suppress(TimeoutError):  # it has gone meanwhile, or waits for an answer
                await pressed.click(timeout=2000)
        return await wanted.is_visible()

    await until(there, 120, f"what {button} leads to")


async def open_link(page: Page, link: str, wanted: Locator) -> None:
    """Follows a mailed link to `wanted`, and once more when a machine that stands still has said so."""
    busy = page.get_by_text("cannot do this right now")

    async def opened() -> bool:
        await page.goto(link)
        await expect(wanted.or_(busy).first).to_be_visible(timeout=60_000)
        return await wanted.is_visible()

    await until(opened, 120, f"{link} to lead on")


async def enter_by_form(page: Page, email: str, password: str) -> None:
    """Fills the form in and presses."""
    await page.get_by_test_id("sign-in-email").fill(email)
    await page.get_by_test_id("sign-in-password").fill(password)
    await press(page, "sign-in-submit", page.get_by_test_id("account-link"))


async def test_a_forgotten_password_is_replaced_by_the_mail(somebody: Visitor, demo: Demo) -> None:
    """From the form over the link to the shelf; the link works once, and leaves nothing in the address."""
    email = f"mara.{uuid4().hex[:8]}@example.com"
    async with guest(demo) as nobody:
        await enter(nobody, email, FIRST, new=True)
    page = somebody.page
    await page.goto(f"{demo.url}/sign-in")
    await page.get_by_role("link", name="Forgotten?").click()
    await page.get_by_test_id("recover-email").fill(email)
    await press(page, "recover-submit", page.get_by_test_id("recover-sent"))
    await expect(page.get_by_test_id("recover-sent")).to_contain_text(email)
    link = await mailed(demo, email, r"/auth/v1/verify\?type=recovery&token=\S+")
    await open_link(page, link, page.get_by_test_id("new-password"))
    await page.get_by_test_id("new-password").fill(SECOND)
    # What is said over the next page goes away by itself: that the form has gone stays.
    await press(page, "new-password-submit", page.locator("html:not(:has([data-testid='new-password']))"))
    await page.wait_for_url(f"{demo.url}/")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    await open_link(page, link, page.locator("main").get_by_text("used already"))
    await enter_by_form(page, email, SECOND)


async def test_the_account_page_shows_what_was_watched_and_changes_the_name(somebody: Visitor, demo: Demo) -> None:
    somebody.expected.append(re.compile(r"Failed to load resource.*400.*/auth/v1/user"))
    email = f"otto.{uuid4().hex[:8]}@example.com"
    async with guest(demo) as nobody:
        await enter(nobody, email, FIRST, new=True)
    page = somebody.page
    await page.goto(f"{demo.url}/sign-in")
    await enter_by_form(page, email, FIRST)
    await somebody.watch(TEST_CARD)
    await somebody.plays_on(2)
    await page.goto(f"{demo.url}/account")
    await expect(page.get_by_test_id("history-title").filter(has_text=TEST_CARD)).to_be_visible()
    named = "Otto <b>& Söhne</b>"
    await page.get_by_test_id("account-name").fill(named)
    await press(page, "account-rename", page.get_by_test_id("account-link").filter(has_text=named))
    await page.get_by_test_id("account-present").fill("not the present one")
    await page.get_by_test_id("account-fresh").fill(SECOND)
    wrong = page.get_by_test_id("account-present-fault").filter(has_text="The present password is not right.")
    await press(page, "account-renew", wrong)


async def test_an_invitation_is_answered_on_its_page(somebody: Visitor, demo: Demo) -> None:
    """Signing in comes first and leads back; a link that is for nobody says so."""
    somebody.expected.append(re.compile(r"Failed to load resource.*4\d\d.*_invitation"))
    head, guest_email = (f"{name}.{uuid4().hex[:8]}@example.com" for name in ("mara", "nils"))
    async with guest(demo) as mara:
        await enter(mara, head, FIRST, new=True)
        async with guest(demo) as nils:
            await enter(nils, guest_email, FIRST, new=True)
        _, family = await mara.call("POST", "/rest/v1/rpc/create_family", json={"name": "Mara's"})
        status, _ = await mara.call(
            "POST", "/rest/v1/rpc/invite_to_family", json={"family_id": family["family_id"], "email": guest_email}
        )
        assert status == 200
    page = somebody.page
    await page.goto(f"{demo.url}/families/invitations?token={'x' * 43}")
    await page.locator("main").get_by_role("link", name="Sign in").click()
    await enter_by_form(page, guest_email, FIRST)
    await page.wait_for_url("**/families/invitations?token=*")
    await press(page, "invitation-accept", page.get_by_test_id("invitation-problem"))
    await page.goto(await mailed(demo, guest_email, r"/families/invitations\?token=\S+"))
    await press(page, "invitation-accept", page.get_by_test_id("invitation-answered"))
    await expect(page.get_by_test_id("invitation-answered")).to_contain_text("Welcome")
