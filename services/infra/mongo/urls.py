"""The address of a MongoDB: what it names, without what is secret in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from services.kernel.startup import StartupError

_FORM = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?)://(?:(?P<user_info>[^/?]*)@)?(?P<hosts>[^/?@]+)(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?",
    re.DOTALL,
)
_DEFAULT_DATABASE = "antiphon"
ADVICE = "Write MONGODB_URL as mongodb://user:password@host:27017/name; what is special in a password is percent-encoded."


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is. `described` is for people and logs; `options` are the names of those that the address gives, in lower case."""

    described: str
    database: str
    options: frozenset[str]


def read_address(url: str) -> Address:
    """The parts of an address. Raises StartupError, without quoting what may be the password."""
    parts = _FORM.fullmatch(url.strip())
    if parts is None:
        raise StartupError("MONGODB_URL is no address of a MongoDB.", ADVICE)
    database = unquote(parts["database"] or "") or _DEFAULT_DATABASE
    user = unquote((parts["user_info"] or "").partition(":")[0])
    options = parse_qsl(parts["options"] or "", keep_blank_values=True)
    return Address(
        f"{parts['scheme']}://{f'{user}@' if user else ''}{parts['hosts']}/{database}",
        database,
        frozenset(name.lower() for name, _ in options),
    )
