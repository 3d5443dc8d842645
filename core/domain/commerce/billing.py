"""The address on invoices: one a person, kept apart from what others may read of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.commands import acting_as_service
from core.domain.commerce.cart import buyer_of
from core.domain.context import Asked
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "billing.sql")

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Maybe = Annotated[str, msgspec.Meta(max_length=300)]

# COMMANDS


class BillingAddress(Asked, frozen=True):
    """Who the invoice is for."""

    first_name: Line
    last_name: Line
    email: Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
    address_line1: Line
    city: Line
    state: Line
    postal_code: Line
    country: Line
    address_line2: Maybe | None = None
    company_name: Maybe | None = None
    phone_number: Maybe | None = None
    vat_number: Maybe | None = None
    notes: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class SaveBillingAddress(Asked, frozen=True):
    """Keeps the address on one's invoices, in place of the one before."""

    billing_address: BillingAddress


class AddressSaved(msgspec.Struct, frozen=True):
    """The address as it is kept."""

    billing_address: BillingAddress


# HANDLERS


async def save_address(tx: Tx, person: UUID, address: BillingAddress) -> None:
    """Makes or replaces the address of a person. Runs within `acting_as_service`, or as that person."""
    await tx.run(
        SQL["address_save"],
        person,
        address.first_name,
        address.last_name,
        address.company_name,
        address.phone_number,
        address.email,
        address.address_line1,
        address.address_line2,
        address.city,
        address.state,
        address.postal_code,
        address.country,
        address.vat_number,
        address.notes,
    )


async def do_save_billing_address(tx: Tx, viewer: Viewer, asked: SaveBillingAddress, _: datetime) -> AddressSaved:
    """Raises Refusal SIGN_IN_NEEDED."""
    person = buyer_of(viewer)
    async with acting_as_service(tx):
        await save_address(tx, person, asked.billing_address)
    return AddressSaved(asked.billing_address)
