"""Blogs: who decides that one is shown. Writing, commenting and reacting are rows like others; what follows from them is the schema's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, answer, emit
from core.domain.context import PEOPLE, Asked, Command, Handler
from core.errors import ILLEGAL_MOVE, NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

_SQL = load("core.domain.community", "blogs.sql")


# RULES


def check_own(row: Row | None, viewer: Viewer) -> Refusal | None:
    """The blog is the viewer's own."""
    return Refusal(NOT_FOUND) if row is None or row["author_id"] != viewer.user_id else None


def check_publishing(row: Row | None) -> Refusal | None:
    """What is shown has been approved and is finished."""
    if row is None:
        return Refusal(NOT_FOUND)
    if row["is_draft"]:
        return Refusal(ILLEGAL_MOVE, "It is still a draft.")
    return None


# COMMANDS


class ApproveBlog(Asked, frozen=True):
    """Lets a blog be published; its author is told."""

    blog_id: UUID


class RejectBlog(Asked, frozen=True):
    """Sends a blog back to its author, who is told why."""

    blog_id: UUID
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class PublishBlog(Asked, frozen=True):
    """Shows an approved blog to everybody."""

    blog_id: UUID


class FeatureBlog(Asked, frozen=True):
    """Puts a blog among those shown first, or takes it from there."""

    blog_id: UUID
    is_featured: bool


class ResubmitBlog(Asked, frozen=True):
    """Asks again for a rejected blog of yours to be approved."""

    blog_id: UUID


class BlogState(msgspec.Struct, frozen=True):
    """A blog after the change."""

    blog_id: UUID
    status: str
    is_featured: bool
    published_at: datetime | None
    rejected_at: datetime | None
    rejection_reason: str | None


class UpvoteComment(Asked, frozen=True):
    """Upvotes a comment. Done twice, it counts once."""

    comment_id: UUID


class CommentUpvoted(msgspec.Struct, frozen=True):
    """A comment and its upvotes."""

    comment_id: UUID
    upvotes: int


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "approve_blog": Command(ApproveBlog, BlogState),
        "reject_blog": Command(RejectBlog, BlogState),
        "publish_blog": Command(PublishBlog, BlogState),
        "feature_blog": Command(FeatureBlog, BlogState),
        "resubmit_blog": Command(ResubmitBlog, BlogState, PEOPLE),
        "upvote_comment": Command(UpvoteComment, CommentUpvoted, PEOPLE),
    }
)

# HANDLERS


async def do_approve_blog(tx: Tx, _: Viewer, asked: ApproveBlog, __: datetime) -> BlogState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return answer(BlogState, await tx.one(_SQL["blog_approve"], asked.blog_id))


async def do_reject_blog(tx: Tx, _: Viewer, asked: RejectBlog, now: datetime) -> BlogState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return answer(BlogState, await tx.one(_SQL["blog_reject"], asked.blog_id, asked.reason, now))


async def do_publish_blog(tx: Tx, _: Viewer, asked: PublishBlog, now: datetime) -> BlogState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    if refusal := check_publishing(await tx.one(_SQL["blog_lock"], asked.blog_id)):
        raise refusal
    state = answer(BlogState, await tx.one(_SQL["blog_publish"], asked.blog_id, now))
    await emit(tx, "blog.published", f"blog:{asked.blog_id}", {"blog_id": asked.blog_id})
    return state


async def do_feature_blog(tx: Tx, _: Viewer, asked: FeatureBlog, __: datetime) -> BlogState:
    """Raises Refusal NOT_FOUND."""
    return answer(BlogState, await tx.one(_SQL["blog_feature"], asked.blog_id, asked.is_featured))


async def do_resubmit_blog(tx: Tx, viewer: Viewer, asked: ResubmitBlog, _: datetime) -> BlogState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    if refusal := check_own(await tx.one(_SQL["blog_lock"], asked.blog_id), viewer):
        raise refusal
    async with acting_as_service(tx):
        return answer(BlogState, await tx.one(_SQL["blog_resubmit"], asked.blog_id))


async def do_upvote_comment(tx: Tx, _: Viewer, asked: UpvoteComment, __: datetime) -> CommentUpvoted:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(_SQL["comment_seen"], asked.comment_id):
        raise Refusal(NOT_FOUND)
    await tx.run(_SQL["upvote_insert"], asked.comment_id)
    return CommentUpvoted(asked.comment_id, await tx.value(_SQL["upvotes_get"], asked.comment_id))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        ApproveBlog: do_approve_blog,
        RejectBlog: do_reject_blog,
        PublishBlog: do_publish_blog,
        FeatureBlog: do_feature_blog,
        ResubmitBlog: do_resubmit_blog,
        UpvoteComment: do_upvote_comment,
    }
)
