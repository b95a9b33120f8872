"""The keys of providers, from the variables that a catalog's file names, and their addresses as one writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Key:
    """A provider's key; None when there is none, and then `missing` names what the operator has to set, if anything."""

    value: str | None
    missing: str


def key_of(variable: str, keys: Mapping[str, str], *, needed: bool = True) -> Key:
    """The key that `variable` has; an empty name is that of a provider that takes none."""
    key = (keys.get(variable) or "").strip() if variable else ""
    if not (key.isascii() and key.isprintable()):
        # It would break every call's header.
        return Key(None, f"{variable} has characters that no key has; set it again")
    return Key(key or None, f"set {variable}" if variable and needed and not key else "")


def normalized(base_url: str) -> str:
    """One address for all ways to write it, without a name and a password in it."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
