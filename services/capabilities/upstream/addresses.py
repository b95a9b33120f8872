"""Addresses in what a provider says: its operator's network is no business of those who call."""

from __future__ import annotations

import ipaddress
import re

# A provider may be anybody: what looks at its words takes a time that grows with their length alone.
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'`<>]+", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"'`<>(){}|,;=/@]+")
_PORT = re.compile(r"(.+):([0-9]{1,5})")
_LABEL = re.compile(r"[a-z0-9-]+", re.IGNORECASE)
# Names with a dot are also those of fields and files, such as `messages.content`; a host's shows by its end, its length or its port.
_END = re.compile(
    "ai|app|cloud|cluster|co|com|corp|de|dev|eu|home|intern|internal|io|lan|local|localdomain|net|org|svc|uk|us"
)
_LEAST_PORT_DIGITS = 4
_LEFT_OUT = "…"


def without_addresses(text: str) -> str:
    """The text with `…` in the place of each URL, IP address and name of a host, as far as these can be told from other words: rather one too
    many than one too few."""
    return _WORD.sub(_judged, _URL.sub(_LEFT_OUT, text))


def _judged(found: re.Match[str]) -> str:
    word = found[0].rstrip(".:!?")
    return _LEFT_OUT + found[0][len(word) :] if _is_address(word) else found[0]


def _is_address(word: str) -> bool:
    if _is_ip(word):
        return True
    with_port = _PORT.fullmatch(word)
    host, port = (with_port[1], with_port[2]) if with_port else (word, "")
    return _is_ip(host) or _is_name(host, port)


def _is_ip(word: str) -> bool:
    try:
        ipaddress.ip_address(word.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_name(host: str, port: str) -> bool:
    labels = host.lower().split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        return False
    last = labels[-1]
    if len(port) >= _LEAST_PORT_DIGITS or host.lower() == "localhost":
        return True
    return len(labels) > 1 and (
        _END.fullmatch(last) is not None or (len(labels) > 2 and len(last) > 1 and last.isalpha())
    )
