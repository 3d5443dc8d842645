"""Environment variables, each checked as it is read: what is wrong is told with the variable's name and its mend."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from core.keys import KeyRing, parse_ring

Network = IPv4Network | IPv6Network


class SettingsError(Exception):
    """A variable is wrong: its name, what is wrong with it, and how to mend it."""

    def __init__(self, variable: str, problem: str, mend: str) -> None:
        super().__init__(f"{variable}: {problem}. {mend}")
        self.variable = variable
        self.problem = problem
        self.mend = mend


class Variables:
    """An environment (default: the process's). What is unset or blank takes its default; every reader raises SettingsError."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    @property
    def own(self) -> Mapping[str, str]:
        """Those of Penstock, as they were given."""
        return {name: text for name, text in self._environ.items() if name.startswith("PENSTOCK_")}

    def text(self, variable: str) -> str:
        """Its text without the spaces around it; empty when it is unset."""
        return self._environ.get(variable, "").strip()

    def url(self, variable: str, schemes: tuple[str, ...], example: str) -> str | None:
        """A URL of one of `schemes`; None when it is unset."""
        text = self.text(variable)
        if not text:
            return None
        hosts = re.split("[/?#]", text.partition("://")[2])[0].rpartition("@")[2].split(",")
        is_sound = all(re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(:[0-6]?\d{0,4})?", host) for host in hosts)
        parts = urlsplit(text if is_sound else "")
        if parts.scheme not in schemes or not (parts.netloc or parts.path.strip("/") or parts.query):
            # The text itself may hold a password, whose `/`, `#` or `?` ended the host too early: it is not repeated.
            problem = f"is not a {' or '.join(schemes)} URL"
            raise SettingsError(variable, problem, f"Write it like {example} (in a password %2F for /), or unset it.")
        return text

    def count(self, variable: str, *, default: int, most: int, least: int | None = None) -> int:
        """A number from `least` to `most`; unless said, `least` is 1, or 0 where the default is."""
        text = self.text(variable)
        if not text:
            return default
        least = min(1, default) if least is None else least
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            problem = f"{text!r} is not a number from {least} to {most}"
            raise SettingsError(variable, problem, f"Unset it for the default, {default}.")
        return int(text)

    def choice(self, variable: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, of which the first is the default."""
        text = self.text(variable) or choices[0]
        if text not in choices:
            problem = f"{text!r} is not one of {', '.join(choices)}"
            raise SettingsError(variable, problem, f"The default is {choices[0]}.")
        return text

    def is_on(self, variable: str) -> bool:
        """Whether it says `on`; it may say `off`, which is the default."""
        return self.choice(variable, ("off", "on")) == "on"

    def address(self, variable: str, example: str) -> tuple[str, int] | None:
        """A host and a port, written like `example`; None when it is unset."""
        text = self.text(variable)
        if not text:
            return None
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([^:\[\]]+)):(\d{1,5})", text)
        if match is None or int(match[3]) > 65535:
            mend = f"Write it like {example}; port 0 picks a free one."
            raise SettingsError(variable, f"{text!r} is not host:port", mend)
        return match[1] or match[2], int(match[3])

    def networks(self, variable: str) -> tuple[Network, ...]:
        """Addresses and networks, separated by commas."""
        try:
            return tuple(ip_network(part.strip()) for part in self.text(variable).split(",") if part.strip())
        except ValueError as error:
            problem = f"has what is no network: {error}"
            raise SettingsError(variable, problem, "Write it like 10.0.0.0/8,192.0.2.7,fd00::/8.") from error

    def ring(self, variable: str) -> KeyRing | None:
        """A key ring; None when it is unset."""
        text = self.text(variable)
        if not text:
            return None
        try:
            return parse_ring(text)
        except ValueError as error:
            mend = "Write id:secret,id:secret, oldest first; the last one signs."
            raise SettingsError(variable, str(error), mend) from None
