"""A connection behind the door (door.py): what is not for the lane is refused there, or goes on to aiohttp."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.web_server import Server

from edge.api.door import Door
from edge.lane.connection import monotonic_s
from edge.lane.handler import Refuse, WireHandler
from edge.lane.lane import Lane
from edge.lane.protocol import LaneProtocol


class Handler(WireHandler):
    """An aiohttp handler that knows whether it owes an answer."""

    __slots__ = ("_owes",)

    def __init__(self, server: Server, refuse: Refuse) -> None:
        super().__init__(server, refuse)
        self._owes = False

    @property
    def owes(self) -> bool:
        """Whether a request that came before is not answered in full, or its answer was the connection's last.

        aiohttp's task comes to rest a turn of the loop after its answer is out, and under load the client's next request is
        here before: that it does not rest does not mean that it owes.
        """
        return bool(self._owes or self._messages or self._close or self._force_close)

    def _handle_request(self, *args: Any) -> Any:
        # Called in the same step that takes the request from the queue: between the two it does not look paid.
        self._owes = True
        return self._note_end(super()._handle_request(*args))

    async def _note_end(self, handling: Coroutine[Any, Any, tuple[web.StreamResponse, bool]]) -> Any:
        response, is_lost = await handling
        self._owes = is_lost or not response.keep_alive
        return response, is_lost


def handlers(server: Server, refuse: Refuse) -> Callable[[], Handler]:
    """What makes the handlers of `server`."""
    return lambda: Handler(server, refuse)


class DoorProtocol(LaneProtocol):
    """A connection that knocks before it takes aiohttp's way: who is refused never gets a handler made."""

    __slots__ = ("_door",)

    def __init__(self, lane: Lane, door: Door) -> None:
        super().__init__(lane)
        self._door = door

    def _slow(self, data: bytes) -> None:
        # Nothing owed: all that came before was whole, and `data` begins a request.
        if self.owed == 0 and (self.handler is None or not self.handler.owes):
            no = self._door.refusal(data)
            if no is not None:
                self.disarm()
                self.block = None
                self.served = True
                self.active_at = monotonic_s()
                self._door.say(self.transport, no)
                return
        super()._slow(data)
