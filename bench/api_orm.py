"""The peer that a framework gives: FastAPI, SQLAlchemy 2 (async, selectinload), Pydantic models, uvicorn.

Run with the interpreter of the benchmark's own environment as `python api_orm.py PORT DATABASE_URL`; imports nothing of ours.
"""

from __future__ import annotations

import sys
from datetime import datetime
from uuid import UUID

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, ForeignKey, Table, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    """Of the mapped classes."""


shelves = Table(
    "content_genres",
    Base.metadata,
    Column("content_id", ForeignKey("contents.id"), primary_key=True),
    Column("genre_id", ForeignKey("genres.id"), primary_key=True),
)


class Genre(Base):
    """A genre."""

    __tablename__ = "genres"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]


class Content(Base):
    """A title."""

    __tablename__ = "contents"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str]
    content_type: Mapped[str]
    duration: Mapped[int | None]
    is_free: Mapped[bool]
    is_published: Mapped[bool]
    is_available: Mapped[bool]
    published_at: Mapped[datetime]
    genres: Mapped[list[Genre]] = relationship(secondary=shelves)


class GenreShown(BaseModel):
    """A genre as it is answered."""

    model_config = ConfigDict(from_attributes=True)
    title: str


class ContentShown(BaseModel):
    """A title as it is answered."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    title: str
    content_type: str
    duration: int | None
    is_free: bool
    genres: list[GenreShown]


app = FastAPI()
session_of = async_sessionmaker(expire_on_commit=False)


@app.get("/titles")
async def titles() -> list[ContentShown]:
    """Twenty titles with their genres."""
    async with session_of() as session:
        query = (
            select(Content)
            .where(Content.is_published, Content.is_available)
            .order_by(Content.published_at.desc())
            .limit(20)
            .options(selectinload(Content.genres))
        )
        return [ContentShown.model_validate(row) for row in await session.scalars(query)]


@app.get("/ready")
async def ready() -> str:
    """Ready."""
    return "ready"


if __name__ == "__main__":
    url = sys.argv[2].replace("postgresql://", "postgresql+asyncpg://", 1)
    session_of.configure(bind=create_async_engine(url, pool_size=8, max_overflow=0))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
