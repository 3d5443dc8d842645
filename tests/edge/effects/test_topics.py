"""Whatever a command emits, somebody handles: found in the code itself."""

from __future__ import annotations

import ast
import re

from core.domain.topics import TOPICS, told_to_webhooks
from core.settings import ROOT

FORM = re.compile(r"[a-z_]+\.[a-z_]+")


def sources() -> list[tuple[str, ast.Module]]:
    """Every module of the product, parsed."""
    paths = sorted(path for package in ("core", "edge", "transcoder") for path in (ROOT / package).rglob("*.py"))
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def emits(module: ast.Module) -> list[ast.Call]:
    """Its calls of `emit`."""
    return [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "emit"
    ]


def emitted() -> dict[str, str]:
    """A pattern for the topic of every call of `emit` in the product, and where it is."""
    found = {}
    for name, module in sources():
        for call in emits(module):
            where = f"{name}:{call.lineno}"
            match call.args[1]:
                case ast.Constant(value=str(topic)):
                    found[where] = re.escape(topic)
                case ast.JoinedStr(values=parts):
                    found[where] = "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z_]+" for part in parts
                    )
                case _:
                    # A variable: whatever in the module has the form of a topic, and the family of one.
                    families = {topic.partition(".")[0] for topic in TOPICS}
                    texts = [
                        node.value
                        for node in ast.walk(module)
                        if isinstance(node, ast.Constant) and isinstance(node.value, str)
                    ]
                    topics = [text for text in texts if FORM.fullmatch(text) and text.partition(".")[0] in families]
                    assert topics, f"{where}: nothing says which topics these are"
                    found |= {f"{where} {topic}": re.escape(topic) for topic in topics}
    return found


def test_every_topic_that_is_emitted_is_handled() -> None:
    patterns = emitted()
    assert len(patterns) >= 4
    unknown = {
        where: pattern
        for where, pattern in patterns.items()
        if not any(re.fullmatch(pattern, topic) for topic in TOPICS)
    }
    assert unknown == {}, "name them in core/domain/topics.py"


def test_every_topic_has_a_handler_and_the_form_that_the_table_takes() -> None:
    for topic, kinds in TOPICS.items():
        assert kinds, topic
        assert FORM.fullmatch(topic)


def test_mail_is_never_told_to_webhooks() -> None:
    """It holds addresses and tokens."""
    assert "mail.wanted" not in told_to_webhooks()
    assert "content.published" in told_to_webhooks()
