"""Bars as SVG, written by hand: one chart a figure, the median of each peer with every round as a dot, the ratio beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.verdict import Figure, shown

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 720, 120, 130, 26, 12, 64
COLOURS = {
    "edge": "#1d6f5c",
    "nginx": "#8a8f98",
    "aiohttp": "#c4c8cf",
    "kept": "#8a8f98",
    "new": "#1d6f5c",
    "fastapi": "#8a8f98",
    "hot": "#1d6f5c",
}
OTHER = "#1d6f5c"


def chart(figure: Figure) -> str:
    """The figure as one SVG document."""
    keys = _keys(figure)
    medians = figure.medians()
    most = max((found[key] for found in figure.rounds for key in keys), default=0) or 1
    height = TOP + len(keys) * (BAR + GAP) + 34
    verdict = "meets" if figure.holds else "misses"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14" '
        f'role="img"><title>{escape(figure.what)}</title><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(16, 26, figure.what, weight="bold"),
        _text(16, 46, f"{shown(figure.value, figure.target.unit)}: {verdict} {figure.target}", colour="#555"),
    ]
    scale = (WIDTH - LEFT - RIGHT) / most
    for row, key in enumerate(keys):
        y = TOP + row * (BAR + GAP)
        parts.append(_text(LEFT - 10, y + 18, key, anchor="end"))
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{medians[key] * scale:.1f}" height="{BAR}" rx="3" '
            f'fill="{COLOURS.get(key, OTHER)}"/>'
        )
        parts += _dots([found[key] for found in figure.rounds], scale, y)
        parts.append(_text(LEFT + most * scale + 10, y + 18, shown(medians[key], figure.unit)))
    parts.append(
        _text(16, height - 12, f"bars: medians of {len(figure.rounds)} rounds; dots: rounds", colour="#777", size=12)
    )
    return "\n".join((*parts, "</svg>\n"))


def _keys(figure: Figure) -> list[str]:
    """What is drawn: peers where there are any, else the one thing that was counted."""
    peers = [key for key in figure.rounds[0] if key in COLOURS]
    return peers or list(figure.rounds[0])[:1]


def _dots(values: Sequence[float], scale: float, y: float) -> list[str]:
    # Hundreds of rounds would hide the bar.
    step = max(1, len(values) // 50)
    return [
        f'<circle cx="{LEFT + value * scale:.1f}" cy="{y + BAR / 2:.1f}" r="3" fill="#fff" stroke="#222"/>'
        for value in sorted(values)[::step]
    ]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    weight: str = "normal",
    colour: str = "#111",
    anchor: str = "start",
    size: int = 14,
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" font-weight="{weight}" text-anchor="{anchor}" '
        f'font-size="{size}">{escape(text)}</text>'
    )
