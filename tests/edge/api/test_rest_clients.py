"""Other people's clients of PostgREST, unmodified: supabase-js and postgrest-js in Node, postgrest-py here."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from postgrest import AsyncPostgrestClient, CountMethod
from postgrest.exceptions import APIError
from postgrest.types import ReturnMethod

from edge.api.access_keys import AccessKeys
from edge.cli.tools import node_path
from tests.edge.api.conftest import RING, House

HERE = Path(__file__).parent


def address(house: House) -> str:
    return f"http://{house.client.host}:{house.client.port}"


@pytest.mark.needs("node")
@pytest.mark.timeout(600)
async def test_supabase_js_and_postgrest_js_read_write_and_command(house: House) -> None:
    keys = AccessKeys(RING)
    settings = {
        "url": address(house),
        "anon": keys.anon_key(),
        "key": keys.service_key(),
        "film": str(house.cast.free_film),
    }
    process = await asyncio.create_subprocess_exec(
        *("node", str(HERE / "rest.mjs"), json.dumps(settings)),
        env={**os.environ, "PATH": node_path()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode(errors="replace")
    said: dict[str, Any] = json.loads(out)
    errors = said.pop("errors")
    titles = [row.pop("title") for row in said["embedded"]]
    assert len(titles) == 1
    assert said == {
        "made": {"title": "Drama", "slug": "drama"},
        "minimal": 201,
        "bulk": [{"title": "Noir", "description": None}, {"title": "Western", "description": "Hats"}],
        "merged": {"title": "Serious"},
        "ignored": [],
        "updated": 1,
        "deleted": [1, [{"title": "Silent"}]],
        "embedded": [{"genres": [{"title": "Serious"}]}],
        "counted": {"genres": [{"count": 1}]},
        "head": 3,
        "range": [3, ["Serious", "Western"]],
        "logic": ["Western", "Noir"],
        "listed": 1,
        "searched": [{"title": "Western"}],
        "nobody": None,
        "csv": 'title\r\n"Noir"\r\n',
        "aborted": True,
        "priced": "9.90",
        "offer": ["EUR"],
        "posted": 1,
    }
    assert {what: (error["status"], error["code"]) for what, error in errors.items()} == {
        "guest": (401, "PS301"),
        "column": (400, "PS202"),
        "table": (404, "PS201"),
        "value": (400, "PS505"),
        "twice": (409, "PS501"),
        "single": (406, "PS206"),
        "everything": (400, "PS209"),
        "many": (400, "PS210"),
        "command": (404, "PS205"),
        "argument": (422, "PS102"),
    }
    assert errors["column"]["hint"] == "Perhaps you meant title."


async def test_postgrest_py_reads_writes_and_commands(house: House) -> None:
    keys = AccessKeys(RING)
    film = str(house.cast.free_film)
    async with AsyncPostgrestClient(f"{address(house)}/rest/v1", headers={"apikey": keys.service_key()}) as client:
        client.auth(keys.service_key())
        made = (
            await client.table("genres")
            .insert([{"title": "Drama", "slug": "drama"}, {"title": "Noir", "slug": "noir"}])
            .execute()
        )
        assert [row["title"] for row in made.data] == ["Drama", "Noir"]
        merged = (
            await client.table("genres").upsert({"title": "Serious", "slug": "drama"}, on_conflict="slug").execute()
        )
        assert merged.data[0]["title"] == "Serious"
        quiet = await client.table("genres").insert({"title": "Silent"}, returning=ReturnMethod.minimal).execute()
        assert quiet.data == []
        pair = {"content_id": film, "genre_id": made.data[0]["id"]}
        await client.table("content_genres").insert(pair, returning=ReturnMethod.minimal).execute()
        changed = await client.table("genres").update({"description": "Dark"}).eq("slug", "noir").execute()
        assert [row["description"] for row in changed.data] == ["Dark"]
        gone = await client.table("genres").delete().is_("slug", "null").execute()
        assert [row["title"] for row in gone.data] == ["Silent"]

        counted = (
            await client.table("genres")
            .select("title", count=CountMethod.exact)
            .order("title", desc=True)
            .limit(1)
            .execute()
        )
        assert (counted.data, counted.count) == ([{"title": "Serious"}], 2)
        one = await client.table("contents").select("genres(title)").eq("id", film).single().execute()
        assert one.data == {"genres": [{"title": "Serious"}]}
        none = await client.table("genres").select("*").eq("slug", "nobody").maybe_single().execute()
        assert none is None
        either = (
            await client.table("genres")
            .select("slug")
            .or_('slug.eq.noir,title.in.(Serious,"A, b")')
            .order("slug")
            .execute()
        )
        assert either.data == [{"slug": "drama"}, {"slug": "noir"}]
        price = {"content_id": film, "price": "9.90", "currency": "EUR"}
        assert (await client.rpc("add_content_price", price).execute()).data["price"] == "9.90"
        offer = await client.rpc("content_offer", {"content_id": film}, get=True).execute()
        assert [row["currency"] for row in offer.data["prices"]] == ["EUR"]

        for question, code in (
            (client.table("genres").select("titel"), "PS202"),
            (client.table("genres").insert({"title": "x", "slug": "noir"}), "PS501"),
            (client.table("genres").select("*").single(), "PS206"),
            (client.table("orders").insert({"total_amount": 1}), "PS207"),
        ):
            with pytest.raises(APIError) as caught:
                await question.execute()
            assert caught.value.code == code
