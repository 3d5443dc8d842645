"""Addresses in the environment: what no driver could read is refused at start, and never repeated."""

from __future__ import annotations

import pytest

from core.settings import read_shared_settings
from core.variables import SettingsError, Variables


@pytest.mark.parametrize(
    "where",
    [
        "u:hunter/2@host/films", "u:hunter#2@host/films", "u:hunter?2@host/films", "u:hunter2@[::1/films",
        "u:hunter2@host:port/films", "u:hunter2@host:5432:1/films", "u:hunter2@host:99999/films",
    ],
)  # fmt: skip
def test_an_address_without_a_host_is_refused_and_its_password_not_repeated(where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_shared_settings(Variables({"PENSTOCK_DATABASE_URL": f"postgresql://{where}"}))
    assert caught.value.variable == "PENSTOCK_DATABASE_URL"
    assert "hunter" not in str(caught.value)
    assert "%2F" in caught.value.mend


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter%2F2@host:5432/films", "postgresql://h1:5432,h2:5433/films", "postgres://u@[::1]:5432/films",
        "postgresql://u:p@/films?host=/run/postgresql", "postgresql:///films",
    ],
)  # fmt: skip
def test_addresses_that_can_be_read_are_taken(url: str) -> None:
    assert read_shared_settings(Variables({"DATABASE_URL": url})).database_url == url
