"""What the pages say in words of their own is there for everything the product can name."""

from __future__ import annotations

import re

from core.domain.media_encoding import CODECS, QUALITIES
from core.settings import ROOT
from transcoder.unsound import Rule

STUDIO = ROOT / "web" / "src" / "lib" / "studio"


def test_the_job_page_explains_every_rule() -> None:
    """A rule that is not in rules.ts is shown by its bare name: give it a sentence there."""
    text = (STUDIO / "rules.ts").read_text()
    said = set(re.findall(r"^ {2}'?([a-z-]+)'?: '", text, re.M))
    assert said == {rule.value for rule in Rule}


def test_the_upload_form_offers_every_codec_and_quality() -> None:
    """Offer it in choices.ts."""
    text = (STUDIO / "choices.ts").read_text()
    assert {codec for codec in CODECS if re.search(rf"value: '[a-z0-9,]*\b{codec}\b", text)} == set(CODECS)
    assert all(f"value: '{quality}'" in text for quality in QUALITIES)
