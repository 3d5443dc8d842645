"""A template is filled in as text and as HTML, and can do nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.effects.letter import Template, VariableMissing, write_letter
from edge.effects.texts import LINK_PATHS, TEXTS

values = st.text(max_size=40).filter(lambda text: "\x00" not in text)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.hrefs: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.hrefs += [value for name, value in attrs if name == "href"]


def tags(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    return found


@pytest.mark.rule("lms-070")
def test_variables_are_replaced_in_subject_and_body() -> None:
    letter = write_letter(
        Template("Hello {{ name }}", "{{name}} has {{ points }} points."), {"name": "Ada", "points": "7"}
    )
    assert (letter.subject, letter.text) == ("Hello Ada", "Ada has 7 points.")
    assert "<p>Ada has 7 points.</p>" in letter.html


def test_a_variable_that_nobody_gave_is_named() -> None:
    with pytest.raises(VariableMissing, match=r"^points$"):
        write_letter(Template("Hello", "{{ points }}"), {"name": "Ada"})


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7*7 }}",
        "{{ name.__class__ }}",
        "{% for x in y %}",
        "{{ name|safe }}",
        "${name}",
        "{name}",
        "%(name)s",
        "{{}}",
    ],
)
def test_what_is_no_variable_stands_for_itself(text: str) -> None:
    letter = write_letter(Template("Hi", text, html=text), {"name": "Ada"})
    assert (letter.text, letter.html) == (text, text)


@given(values, values)
def test_what_is_put_in_makes_no_tag(name: str, other: str) -> None:
    template = Template("s", "Hello {{ name }},\n\n{{ other }}\n{{ name }}{{ other }}")
    plain = write_letter(template, {"name": "a", "other": "b"})
    assert set(tags(write_letter(template, {"name": name, "other": other}).html).tags) <= set(tags(plain.html).tags)


@given(values)
def test_what_is_put_in_is_not_looked_at_again(name: str) -> None:
    letter = write_letter(Template("s", "{{ name }}|{{ other }}"), {"name": "{{ other }}", "other": name})
    assert letter.text == f"{{{{ other }}}}|{name}"


@given(values)
def test_a_subject_is_one_line(name: str) -> None:
    subject = write_letter(Template("For {{ name }}\r\nBcc: x@example.com", "b"), {"name": name}).subject
    assert len(subject.splitlines()) == 1


def test_only_the_line_of_the_link_becomes_one() -> None:
    letter = write_letter(
        Template("s", "Hello {{ name }}\n\n{{ link }}\n"),
        {"name": "https://evil.example", "link": "https://film.example/?a=1&b=2"},
    )
    assert tags(letter.html).hrefs == ["https://film.example/?a=1&b=2"]
    assert tags(write_letter(Template("s", "{{ link }}"), {"link": "javascript:alert(1)"}).html).hrefs == []


def test_a_template_with_html_of_its_own_is_filled_in_escaped() -> None:
    letter = write_letter(Template("s", "{{ name }}", html="<b>{{ name }}</b>"), {"name": '<i>Ada</i> & "co"'})
    assert letter.text == '<i>Ada</i> & "co"'
    assert letter.html == "<b>&lt;i&gt;Ada&lt;/i&gt; &amp; &quot;co&quot;</b>"


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_our_own_texts_need_no_more_than_they_are_given(name: str) -> None:
    given_always = {"name": "Ada", "email": "ada@example.com", "tenant": "Film shop", "site": "https://film.example"}
    special = {"link": "https://film.example/x"} if name in LINK_PATHS else {}
    special |= {"url": "https://hook.example", "reason": "answered 500"} if name == "webhook_disabled" else {}
    letter = write_letter(TEXTS[name], {**given_always, **special})
    assert letter.subject
    assert not re.search(r"\{\{|\}\}", letter.subject + letter.text + letter.html)
    if special.get("link"):
        assert tags(letter.html).hrefs == [special["link"]]
