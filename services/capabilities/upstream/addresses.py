"""Addresses in what a provider says: its operator's network is no business of those who call."""

from __future__ import annotations

import re

_URL = r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+"
_IPV4 = r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"
# Times of day have two colons.
_IPV6 = r"\[?(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])\]?|\[?(?<![\w:])(?:[0-9a-f]{1,4}:)*:(?::?[0-9a-f]{1,4})+(?![\w:])\]?"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
# Names with a dot are also those of fields and files, such as `messages.content`; a host's shows by its end, its length or its port.
_ENDS = "ai|app|cloud|cluster|co|com|corp|de|dev|eu|home|intern|internal|io|lan|local|localdomain|net|org|svc|uk|us"
_HOST = (
    rf"\b(?:{_LABEL}\.)+(?:{_ENDS})\b(?::\d{{1,5}})?"
    rf"|\b(?:{_LABEL}\.){{2,}}[a-z]{{2,}}\b(?::\d{{1,5}})?"
    rf"|\b{_LABEL}(?:\.{_LABEL})*:\d{{4,5}}\b"
    r"|\blocalhost\b"
)
_ADDRESS = re.compile(f"{_URL}|{_IPV4}|{_IPV6}|{_HOST}", re.IGNORECASE)


def without_addresses(text: str) -> str:
    """The text with `…` in the place of each URL, IP address and name of a host, as far as these can be told from other words: rather one too
    many than one too few."""
    return _ADDRESS.sub("…", text)
