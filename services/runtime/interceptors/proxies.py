"""Whose call it is that a proxy brings: the address in `x-forwarded-for` that the proxies of the deployment vouch for."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

HEADER = "x-forwarded-for"
MAXIMUM_PROXIES = 32


class TrustedProxies:
    """The proxies in front, by their addresses and networks."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def caller(self, peer: str, forwarded: object) -> str:
        """The caller's address, when a call from `peer` says in `x-forwarded-for` that it was `forwarded`.

        Every proxy appends whom it heard from, so the list is read from its end for as long as those who wrote it are trusted. What is
        no address ends it, and so does its thirty-second entry.
        """
        address = parsed(peer)
        if address is None or not isinstance(forwarded, str) or not self._trusts(address):
            return peer
        for entry in reversed(forwarded.rsplit(",", MAXIMUM_PROXIES)[-MAXIMUM_PROXIES:]):
            further = parsed(entry)
            if further is None:
                break
            address = further
            if not self._trusts(address):
                break
        return str(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def parsed(text: str) -> Address | None:
    """An address as proxies write it, with or without brackets and port; an IPv4 address within IPv6 as itself. None for anything else."""
    bare = text.strip()
    if bare.startswith("["):
        bare, closed, port = bare[1:].partition("]")
        if not closed or (port and not (port[0] == ":" and port[1:].isdecimal())):
            return None
    elif bare.count(":") == 1:
        bare, _, port = bare.partition(":")
        if not port.isdecimal():
            return None
    try:
        # The zone of an address means something on its own machine alone.
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
