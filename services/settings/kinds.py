"""How the text of an environment variable becomes a value, and how a value is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

T = TypeVar("T")


class SecretStr:
    """A text that no log line, repr or error shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "SecretStr('**********')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class Unsuitable(ValueError):
    """A text of the right form that can't be used. Its message says why, and repeats nothing of the text that could be secret."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value. `parse` raises ValueError for a text that is not what `expected` says, Unsuitable to say more.

    The empty text counts as unset unless `empty` says that it means something.
    """

    parse: Callable[[str], T]
    expected: str
    show: Callable[[T], str] = str
    secret: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a setting; `kind` is given where it is written in another way."""

    name: str
    kind: Kind[Any] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a section's field knows of itself."""

    kind: Kind[Any]
    doc: str
    aliases: tuple[Alias, ...] = ()


def setting(kind: Kind[T], default: T | None, doc: str, *aliases: str | Alias) -> Any:
    """A field of a section."""
    named = tuple(alias if isinstance(alias, Alias) else Alias(alias) for alias in aliases)
    return field(default=default, repr=not kind.secret, metadata={"setting": Setting(kind, doc, named)})


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _duration(text: str) -> float:
    compact = text.strip().lower().replace(" ", "")
    if _NUMBER.fullmatch(compact):
        return float(compact)
    if not _DURATION.fullmatch(compact):
        raise ValueError
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(compact))


def _show_duration(seconds: float) -> str:
    if seconds <= 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds % _UNITS[unit] == 0:
            return f"{round(seconds / _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def _positive_duration(text: str) -> float:
    value = _duration(text)
    if value <= 0:
        raise ValueError
    return value


def _minutes(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()) or float(text) <= 0:
        raise ValueError
    return float(text) * 60


_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in _SIZES or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * _SIZES[match[2]]


def _show_size(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _address(text: str) -> str:
    bare = text.strip()
    if bare.lower() in ("", "off"):
        return ""
    host, colon, port = bare.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return f"{host}:{int(port)}"


def _peer(text: str) -> str:
    address = _address(text.strip().removeprefix("http://").rstrip("/"))
    if not address or "/" in address:
        raise ValueError
    return address


def _web_address(text: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text.strip().rstrip("/")


_DATABASE_URL = re.compile(
    r"(?:postgresql|postgres)(?:\+\w+)?://(?:(?P<user>[^:/]*)(?::(?P<password>[^/]*))?@)?(?P<host>[^@/?]*)(?P<rest>.*)",
    re.DOTALL,
)


def _database_url(text: str) -> str:
    _, separator, rest = text.strip().partition("://")
    if not separator or not _DATABASE_URL.fullmatch(text.strip()):
        raise ValueError
    return f"postgresql://{rest}"


def show_database_url(url: str) -> str:
    """A database URL without its password, and without the options, which may hold one too."""
    match = _DATABASE_URL.fullmatch(url)
    if match is None:
        return "(set)"
    user = f"{match['user']}:***@" if match["password"] else f"{match['user']}@" if match["user"] else ""
    return f"postgresql://{user}{match['host']}{match['rest'].partition('?')[0]}"


def database_url(host: str, port: str, username: str, password: str, name: str) -> str:
    """The URL that the parts of one make. Raises ValueError for a port that is none."""
    if port and not port.isdecimal():
        raise ValueError
    user = quote(username, safe="") + (f":{quote(password, safe='')}" if password else "")
    bracketed = f"[{host}]" if ":" in host else host
    return f"postgresql://{user + '@' if user else ''}{bracketed}{':' + port if port else ''}/{quote(name, safe='')}"


def database_parts(url: str) -> dict[str, str]:
    """What a database URL says, by the last word of the variables `DATABASE_HOST`, `DATABASE_PORT` and so on."""
    match = _DATABASE_URL.fullmatch(url)
    if match is None:
        raise ValueError
    host, _, port = (
        match["host"].rpartition(":") if re.search(r":\d*$", match["host"]) else (match["host"], "", "")
    )
    return {
        "HOST": host.strip("[]"),
        "PORT": port,
        "USERNAME": unquote(match["user"] or ""),
        "PASSWORD": unquote(match["password"] or ""),
        "NAME": unquote(match["rest"].partition("?")[0].removeprefix("/")),
    }


Network = IPv4Network | IPv6Network


_MAPPED = IPv6Network("::ffff:0:0/96")


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(_network(entry.strip()) for entry in text.split(","))


def _network(text: str) -> Network:
    network = ip_network(text, strict=False)
    address, slash, _ = text.partition("/")
    if slash and ip_address(address) != network.network_address:
        raise Unsuitable(
            f"{text} has host bits set; the network is {network}, and the address alone {address}"
        )
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Callers by IPv4 are known by their IPv4 addresses, also where a port for both brings them as these.
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        return IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network


def _show_networks(networks: tuple[Network, ...]) -> str:
    return ",".join(
        str(network.network_address if network.num_addresses == 1 else network) for network in networks
    )


def _text(text: str) -> str:
    return text.strip()


def _secret(text: str) -> SecretStr:
    return SecretStr(text.strip())


def _hidden(value: object) -> str:
    return "(set)"


def whole(lowest: int, highest: int) -> Kind[int]:
    """Whole numbers within bounds."""

    def parse(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return Kind(parse, f"a whole number from {lowest} to {highest}")


def one_of(*words: str, upper: bool = False) -> Kind[str]:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        word = text.strip().upper() if upper else text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return Kind(parse, "one of " + ", ".join(words))


TEXT: Kind[str] = Kind(_text, "a text")
SECRET: Kind[SecretStr] = Kind(_secret, "a text", show=_hidden, secret=True)
PATH: Kind[Path] = Kind(lambda text: Path(text.strip()).expanduser(), "a path")
BOOLEAN: Kind[bool] = Kind(_boolean, "true or false", show=lambda value: "true" if value else "false")
DURATION: Kind[float] = Kind(_duration, "a duration such as 10s, 15m, 1h30m or 30d", show=_show_duration)
POSITIVE_DURATION: Kind[float] = Kind(
    _positive_duration, "a duration above zero such as 10s, 15m, 1h30m or 30d", show=_show_duration
)
MINUTES: Kind[float] = Kind(_minutes, "a number of minutes", show=lambda value: f"{value / 60:g}")
SIZE: Kind[int] = Kind(_size, "a size such as 65536, 64KiB or 4MiB", show=_show_size)
PORT = whole(0, 65535)
LISTEN_ADDRESS: Kind[str] = Kind(_address, "host:port, or nothing to switch it off", empty=True)
PEER_ADDRESS: Kind[str] = Kind(_peer, "host:port or http://host:port")
WEB_ADDRESS: Kind[str] = Kind(_web_address, "an http:// or https:// address")
NETWORKS: Kind[tuple[Network, ...]] = Kind(
    _networks, "addresses and networks such as 10.0.0.7,192.168.0.0/16,fd00::/8", show=_show_networks
)
DATABASE_URL: Kind[str] = Kind(
    _database_url, "postgresql://user:password@host:port/name", show=show_database_url, secret=True
)


def setting_of(metadata: object) -> Setting | None:
    """The setting that a dataclass field's metadata describes, if it does."""
    return cast("dict[str, Setting]", metadata).get("setting")
