"""Gives every call its id, the caller's `x-request-id` or a new one, and sends it back in the trailing metadata."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from services.kernel.request import enter
from services.runtime.call import Call, Method, Proceed
from services.runtime.interceptors.proxies import HEADER, Network, TrustedProxies, parsed

KEY = "x-request-id"
MAXIMUM_LENGTH = 128
MAXIMUM_PEERS = 1000


class RequestId:
    """Makes the call known as `services.kernel.request.current()`, with its caller's address: the peer's, or the one that a trusted
    proxy names.

    An id that is made here is a random number of this process and the call's own, `5f0c1d9ab3e47812-2a`: unlike others it asks
    neither the clock nor the system for anything.
    """

    def __init__(self, trusted_proxies: Sequence[Network] = ()) -> None:
        self._proxies = TrustedProxies(trusted_proxies) if trusted_proxies else None
        self._prefix = os.urandom(8).hex()
        self._numbers = itertools.count(1)

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        prefix, numbers, addresses = self._prefix, self._numbers, _Addresses()
        proxies = self._proxies

        async def layer(call: Call) -> Any:
            context, request = call.context, call.request
            request_id = call.metadata.get(KEY)
            if request_id is None or not acceptable(request_id):
                request_id = f"{prefix}-{next(numbers):x}"
            request.request_id = request_id
            request.address = addresses[context.peer()]
            if proxies is not None:
                request.address = proxies.caller(request.address, call.metadata.get(HEADER))
            remaining = context.time_remaining()
            if remaining is not None:
                request.deadline = time.monotonic() + remaining
            enter(request)
            call.trailing = ((KEY, request_id),)
            context.set_trailing_metadata(call.trailing)
            return await proceed(call)

        return layer


def acceptable(request_id: object) -> bool:
    """Whether a caller's id may stand in logs and metadata: 1 to 128 printable ASCII characters."""
    return (
        isinstance(request_id, str)
        and 0 < len(request_id) <= MAXIMUM_LENGTH
        and request_id.isascii()
        and request_id.isprintable()
        and request_id == request_id.strip()
    )


class _Addresses(dict[str, str]):
    """The addresses of the last peers: a connection's calls all name the same one."""

    def __missing__(self, peer: str) -> str:
        if len(self) >= MAXIMUM_PEERS:
            self.clear()
        address = self[peer] = address_of(peer)
        return address


def address_of(peer: str) -> str:
    """The address within gRPC's name of a peer, such as `ipv4:127.0.0.1:4711`, `ipv6:[::1]:4711` or `unix:`."""
    kind, _, rest = peer.partition(":")
    if kind == "ipv4":
        return rest.rpartition(":")[0]
    if kind == "ipv6":
        address = unquote(rest).rpartition(":")[0].strip("[]")
        # Whoever listens on IPv6 as well sees callers by IPv4 this way.
        mapped = parsed(address) if address.lower().startswith("::ffff:") else None
        return address if mapped is None else str(mapped)
    return kind
