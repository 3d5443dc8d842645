"""Why a piece of an encoding failed, for the staff of its tenant: reason, broken rule, and what the tool said.

Decides what of a tool's words leaves the machine: never where on it something lies, nor what another system answered.
"""

from __future__ import annotations

import re
from uuid import UUID

import msgspec

from core import errors
from core.database import Tx
from core.queries import load

SQL = load("core.domain", "media_failures.sql")

MOST_FAILURES = 50
# Encoder, decoder and reader speak of the upload. The words of a store, a disk or a fault of ours are the operator's alone.
_SPEAKS_OF_THE_UPLOAD = frozenset(
    code.code
    for code in (
        errors.NOT_MEDIA, errors.TRUNCATED_MEDIA, errors.PLAYLIST_IN_DISGUISE, errors.NO_STREAMS, errors.MEDIA_TOO_LARGE,
        errors.PROBE_TIMEOUT, errors.ENCODE_FAILED, errors.VERIFY_FAILED, errors.ENCODER_LACKS,
    )
)  # fmt: skip
_RULE = re.compile(r"rule ([a-z-]+) of (\S+): (.+)", re.DOTALL)
_QUOTED_FOLDER = re.compile(r"""(?<=['"])/[^'"\n]*/""")
_FOLDER = re.compile(r"""(?<![\w.\-/])/+(?:[^\s/'"()\[\],;]+/+)+""")
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+|0x[0-9a-f]{6,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class BrokenRule(msgspec.Struct, frozen=True):
    """A rule that the result was checked against before anybody could see it; `rendition` is a playlist's path."""

    rule: str
    rendition: str
    problem: str


class PieceFailure(msgspec.Struct, frozen=True):
    """One task of the job. `state` is `queued` where it is going to be tried again; `log` at most a few lines, or null."""

    task_id: UUID
    kind: str
    chunk_no: int | None
    state: str
    attempts: int
    max_attempts: int
    code: str
    message: str | None
    rule: BrokenRule | None
    log: str | None


def words_of(code: str, details: str | None) -> str | None:
    """What a tool said, without folders, addresses and control characters; None where it is not about the upload."""
    if not details or code not in _SPEAKS_OF_THE_UPLOAD:
        return None
    return tidy(details) or None


def tidy(text: str) -> str:
    """`text` with every absolute path cut to its last name."""
    text = _CONTROL.sub("", text)
    text = _QUOTED_FOLDER.sub("", text)
    text = _FOLDER.sub("", text)
    return _ADDRESS.sub("", text).strip()


def rule_of(code: str, details: str | None) -> BrokenRule | None:
    """The named rule that a result broke, if that is why it failed."""
    found = _RULE.fullmatch(details or "") if code == errors.VERIFY_FAILED.code else None
    return BrokenRule(found[1], found[2], tidy(found[3])) if found else None


async def read_failures(tx: Tx, job_id: UUID) -> tuple[PieceFailure, ...] | None:
    """What failed of a job that the viewer sees; None when they see none."""
    if not await tx.value(SQL["job_is_seen"], job_id):
        return None
    rows = await tx.many(SQL["tasks_failed"], job_id, MOST_FAILURES)
    return tuple(
        PieceFailure(
            row["id"], row["kind"], row["chunk_no"], row["state"], row["attempts"], row["max_attempts"], row["error_code"],
            row["error_message"], rule_of(row["error_code"], row["error_details"]),
            words_of(row["error_code"], row["error_details"]),
        )
        for row in rows
    )  # fmt: skip
