"""Logs of every process: one JSON object a line on stdout, times in UTC, through a queue so that a full pipe blocks no loop."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from typing import Any

import orjson
import structlog

MAX_LINE_CHARS = 4096
MAX_QUEUED = 10_000


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()[:MAX_LINE_CHARS]


class _Dropping(logging.handlers.QueueHandler):
    """Never waits: a log nobody drains loses lines, not requests."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


def start_logging(process: str) -> logging.handlers.QueueListener:
    """Routes structlog and logging to stdout; stop the listener on the way out to flush it."""
    out = logging.StreamHandler(sys.stdout)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Here, not in the listener's thread: there is no current exception there.
        structlog.processors.format_exc_info,
    ]
    out.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda _, __, event: {"process": process, **event},
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    pending: queue.Queue[logging.LogRecord] = queue.Queue(MAX_QUEUED)
    root = logging.getLogger()
    root.handlers = [_Dropping(pending)]
    root.setLevel(logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    listener = logging.handlers.QueueListener(pending, out)
    listener.start()
    return listener
