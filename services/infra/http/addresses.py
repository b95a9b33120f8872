"""Which addresses are public: those that anybody on the internet reaches, and nothing that is near to us."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# The special-purpose registries of IANA (RFC 6890), written out, since Python's own reading of them differs between its releases. What
# belongs to 6to4, ORCHID and Teredo is refused as a whole: it leads to an IPv4 address by way of strangers, or nowhere.
_SPECIAL_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        # Azure's metadata has an address that looks like any other.
        "168.63.129.16/32",
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "3ffe::/16")
)
# Where names have IPv4 addresses alone, networks without IPv4 reach them by this prefix (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether the address is one of the internet's; forms of an IPv4 address are judged as that."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _UNICAST_6 and not any(address in network for network in _SPECIAL_6)


def literal(host: str) -> Address | None:
    """The address that a host is; None for a name. Raises ValueError for what some read as an address and others as a name, such as
    `127.1`."""
    if ":" in host or host.rstrip(".").rpartition(".")[2].isdigit():
        return ip_address(host)
    return None
