"""The control of the campaign of killed deliverers: one that writes down a delivery before it has made it."""

from __future__ import annotations

import asyncio

from edge.__main__ import main
from edge.effects.courier import Courier
from edge.effects.line import Done, Item, Line


class Careless(Courier):
    """What is in hand when it dies was never sent, and nobody knows."""

    async def _deliver(self, line: Line, item: Item) -> Item | None:
        following = await self._write_down(line, item, Done("surely"))
        await asyncio.sleep(0.2)
        await line.deliver(item)
        return following


if __name__ == "__main__":
    import edge.effects.process

    edge.effects.process.Courier = Careless  # type: ignore[misc]
    raise SystemExit(main(["deliver"]))
