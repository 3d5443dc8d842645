"""Whatever a command emits, somebody handles: found in the code itself."""

from __future__ import annotations

import ast
import re

from core.domain.topics import TOPICS, told_to_webhooks
from core.settings import ROOT


def emitted() -> dict[str, str]:
    """A pattern for the topic of every call of `emit` in the product, and where it is."""
    found = {}
    for path in sorted(path for package in ("core", "edge", "transcoder") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "emit"):
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            match node.args[1]:
                case ast.Constant(value=str(topic)):
                    found[where] = re.escape(topic)
                case ast.JoinedStr(values=parts):
                    found[where] = "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z_]+" for part in parts
                    )
                case other:
                    raise AssertionError(f"{where}: a topic is written where it is emitted, not {ast.dump(other)}")
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
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", topic)


def test_mail_is_never_told_to_webhooks() -> None:
    """It holds addresses and tokens."""
    assert "mail.wanted" not in told_to_webhooks()
    assert "content.published" in told_to_webhooks()
