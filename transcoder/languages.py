"""Names languages: what containers write (ISO 639-2, three letters) to BCP 47 and to what people read. Pure."""

from __future__ import annotations

import re

UNKNOWN = "und"

# ISO 639-2 (both of its codes, where there are two), BCP 47, and the language's own name.
_TABLE = """
ara ar العربية|bul bg Български|cat ca Català|ces,cze cs Čeština|cym,wel cy Cymraeg|dan da Dansk|deu,ger de Deutsch
ell,gre el Ελληνικά|eng en English|est et Eesti|eus,baq eu Euskara|fas,per fa فارسی|fin fi Suomi|fra,fre fr Français
gle ga Gaeilge|glg gl Galego|heb he עברית|hin hi हिन्दी|hrv hr Hrvatski|hun hu Magyar|hye,arm hy Հայերեն|ind id Indonesia
isl,ice is Íslenska|ita it Italiano|jpn ja 日本語|kat,geo ka ქართული|kor ko 한국어|lat la Latina|lav lv Latviešu
lit lt Lietuvių|mkd,mac mk Македонски|msa,may ms Melayu|nld,dut nl Nederlands|nno nn Nynorsk|nob nb Bokmål|nor no Norsk
pol pl Polski|por pt Português|ron,rum ro Română|rus ru Русский|slk,slo sk Slovenčina|slv sl Slovenščina|spa es Español
sqi,alb sq Shqip|srp sr Српски|swa sw Kiswahili|swe sv Svenska|tam ta தமிழ்|tel te తెలుగు|tha th ไทย|tur tr Türkçe
ukr uk Українська|urd ur اردو|vie vi Tiếng Việt|zho,chi zh 中文
"""

_TAGS: dict[str, str] = {}
_NAMES: dict[str, str] = {}
for _entry in _TABLE.strip().replace("\n", "|").split("|"):
    _codes, _tag, _name = _entry.split(" ", 2)
    _NAMES[_tag] = _name
    for _code in _codes.split(","):
        _TAGS[_code] = _tag


def language_tag(text: str | None) -> str:
    """A BCP 47 tag for what a file or a person wrote; `und` when it is none."""
    if not text or not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,3}", text):
        return UNKNOWN
    primary, *rest = text.replace("_", "-").split("-")
    return "-".join([_TAGS.get(primary.lower(), primary.lower()), *rest])


def language_name(tag: str) -> str | None:
    """The language's own name, or None."""
    return _NAMES.get(tag.split("-")[0].lower())
