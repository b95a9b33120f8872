"""Kinds of settings that say where something is: addresses, networks, databases."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit

from services.settings.kinds import Kind, Unsuitable


def _address(text: str) -> str:
    bare = text.strip()
    if bare.lower() in ("", "off"):
        return ""
    host, colon, port = bare.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return f"{host}:{int(port)}"


def _peer(text: str) -> str:
    scheme, separator, rest = text.strip().rpartition("://")
    address = _address(rest.rstrip("/"))
    if not address or "/" in address or (scheme.lower() not in ("http", "https") and separator):
        raise ValueError
    return f"https://{address}" if scheme.lower() == "https" else address


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


LISTEN_ADDRESS: Kind[str] = Kind(_address, "host:port, or nothing to switch it off", empty=True)
PEER_ADDRESS: Kind[str] = Kind(_peer, "host:port, http://host:port or https://host:port (TLS)")
WEB_ADDRESS: Kind[str] = Kind(_web_address, "an http:// or https:// address")
NETWORKS: Kind[tuple[Network, ...]] = Kind(
    _networks, "addresses and networks such as 10.0.0.7,192.168.0.0/16,fd00::/8", show=_show_networks
)
DATABASE_URL: Kind[str] = Kind(
    _database_url, "postgresql://user:password@host:port/name", show=show_database_url, secret=True
)
