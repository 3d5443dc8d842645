"""What commands set off leaves a running installation: the deliverer is there, is counted, and is replaced when it is killed."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.domain.commands import emit
from tests.faults.conftest import Box
from tests.inside import inside
from tests.running import run_penstock
from tests.waiting import until
from tests.web import raw

pytestmark = [pytest.mark.timeout(1200)]

PATIENCE_S = 120


def letters_to(box: Box, address: str) -> list[Any]:
    """Messages in the folder of an installation without a mail server."""
    found = [
        message_from_bytes(path.read_bytes(), policy=default) for path in (box.data / "outbox" / "mail").glob("*.eml")
    ]
    return [letter for letter in found if address in letter["To"]]


async def wanted(box: Box) -> str:
    """An address to which a mail was wanted just now."""
    address = f"{uuid4().hex[:12]}@example.org"
    payload = {"template": "invitation", "to": address, "kind": "transactional", "variables": {"token": "abc"}}
    async with inside(box.database_url) as tx:
        await emit(tx, "mail.wanted", f"mail:{address}", payload)
    return address


async def test_mail_is_delivered_and_counted_and_a_killed_deliverer_is_replaced(box: Box) -> None:
    await box.ready()
    address = await wanted(box)
    (letter,) = await until(lambda: letters_to(box, address), PATIENCE_S, "the message")
    assert re.search(r"http://\S+/invitations\?token=abc", letter.get_body(("plain",)).get_content())
    (deliverer,) = box.penstock.named("-m edge deliver")
    deliverer.kill()
    address = await wanted(box)
    await until(lambda: letters_to(box, address), PATIENCE_S, "the message of the next deliverer")

    async def counted() -> bool:
        text = (await raw(box.url, "/metrics")).body.decode()
        done = re.search(r'penstock_deliveries_total\{line="mail",outcome="done"\} (\S+)', text)
        return done is not None and float(done[1]) >= 2 and "penstock_deliveries_waiting" in text

    await until(counted, PATIENCE_S, "the deliveries of both in /metrics")


async def test_a_webhook_made_over_the_api_keeps_its_secret_and_its_place(box: Box) -> None:
    await box.ready()
    async with box.newcomer() as staff:
        async with inside(box.database_url) as tx:
            await tx.connection.execute("UPDATE users SET role = 'admin' WHERE id = $1", UUID(staff.user_id))

        async def do(command: str, **fields: object) -> Any:
            async def answer() -> Any:
                status, said = await staff.call("POST", f"/rest/v1/rpc/{command}", json=fields)
                # Until the web process has heard that the role is another one.
                assert status == 200, said
                return said

            return await until(answer, PATIENCE_S, command)

        made = await do("create_webhook", url="https://localhost/", event_types=["content.published"])
        assert made["secret"].startswith("whsec_")
        _, (row,) = await staff.call("GET", f"/rest/v1/webhooks?id=eq.{made['webhook_id']}")
        assert not [name for name in row if "secret" in name and name != "old_secret_until"]
        tried = await do("test_webhook", webhook_id=made["webhook_id"])

        async def refused() -> str | None:
            _, (delivery,) = await staff.call("GET", f"/rest/v1/webhook_deliveries?id=eq.{tried['delivery_id']}")
            found: str | None = delivery["last_error"]
            return found

        # The name is public on its face; what it resolves to is not.
        assert "is not a public address" in str(await until(refused, PATIENCE_S, "the refusal"))
        listed = run_penstock("outbox", "--data", box.data, "--json")
        assert "webhook.test" in listed.stdout
        await do("disable_webhook", webhook_id=made["webhook_id"])
