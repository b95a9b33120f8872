"""Fetches what others name by its address, without being led to what is not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

import aiohttp
from yarl import URL

from services.infra.http import bodies
from services.infra.http.addresses import Address, is_public, literal
from services.infra.http.failures import FetchFailed, FetchTimedOut, NotPublic, TooLarge, Unfetched
from services.infra.http.resolving import JudgedNames, Resolve, SystemNames
from services.infra.http.words import why_unreached
from services.kernel.budget import Share

__all__ = [
    "FetchFailed",
    "FetchTimedOut",
    "Fetched",
    "NotPublic",
    "PublicFetch",
    "TooLarge",
    "Unfetched",
    "is_public",
]

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_ADDRESS = 8192
# Mail servers and their like are not to be talked to in HTTP's words.
_LOW_PORTS = frozenset({80, 443})
_FIRST_FREE_PORT = 1024

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched: its bytes, and the media type that it claims to have, in lower case and without parameters."""

    data: bytes
    content_type: str


class PublicFetch:
    """GETs from public hosts, and from those origins that the operator named.

    An address is http or https, without a name or password in it, on port 80, 443 or one from 1024 on. Its host has public addresses
    alone, and exactly those that were judged are connected to; so it is with each redirect, up to five. Origins in `free_origins`,
    such as `http://localhost:8080`, may be anywhere, on any port; a call may have more of them. Nothing is sent along that says who asks: no cookies, no
    credentials, and proxies of the environment are not used. `is_public` and `resolve` are there for tests.
    """

    def __init__(
        self,
        *,
        free_origins: Collection[str] = (),
        connect_seconds: float = 10.0,
        is_public: Callable[[Address], bool] = is_public,
        resolve: Resolve | None = None,
    ) -> None:
        self._free = frozenset(_origin(URL(text)) for text in free_origins)
        self._connect_seconds = connect_seconds
        self._is_public = is_public
        # A name whose servers are silent holds up others that strangers named, and none of the operator's.
        self._names, self._trusted_names = SystemNames(), SystemNames()
        self._resolve, self._trusted_resolve = resolve or self._names, resolve or self._trusted_names
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def fetch(
        self,
        url: str,
        *,
        limit: int,
        seconds: float,
        accept: str,
        authorization: str = "",
        free_origins: Collection[str] = (),
        trusted: bool = False,
        share: Share | None = None,
    ) -> Fetched:
        """What is at `url`, at most `limit` bytes, within `seconds` in all. `authorization` is a header for the origin of `url` alone. `trusted`: the
        operator set `url`, so that it may be anywhere; what it redirects to may not, not even when that is in the same place. What is read
        is held in the `share`, as soon as that has room, and stays there, whatever comes of it.
        Raises NotPublic, TooLarge, FetchFailed and FetchTimedOut; whoever cancels it has the socket closed at once."""
        try:
            async with asyncio.timeout(seconds):
                free = self._free.union(_origin(URL(text)) for text in free_origins)
                return await self._fetched(url, free, limit, accept, authorization, trusted, share)
        except aiohttp.ServerTimeoutError:
            raise FetchTimedOut("connect") from None
        except TimeoutError:
            raise FetchTimedOut("total") from None
        except aiohttp.ClientPayloadError:
            raise FetchFailed("it broke off before its end") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of such an error may have the address in it.
            raise FetchFailed(f"it can't be reached: {why_unreached(error)}") from None

    async def aclose(self) -> None:
        """Close all connections; whatever is being fetched fails."""
        for session in self._sessions.values():
            await session.close()
        self._names.close()
        self._trusted_names.close()

    async def _fetched(
        self,
        url: str,
        free: frozenset[Origin],
        limit: int,
        accept: str,
        authorization: str,
        trusted: bool,
        share: Share | None,
    ) -> Fetched:
        place = self._judged(url, free, trusted=trusted)
        first = _origin(place)
        allowed = free | {first} if trusted else free
        for _ in range(_MOST_REDIRECTS + 1):
            headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "antiphon"}
            if authorization and _origin(place) == first:
                headers["Authorization"] = authorization
            async with self._session(_origin(place) in allowed).get(
                place, headers=headers, allow_redirects=False
            ) as response:
                if response.status not in _REDIRECTS:
                    return await _content(response, limit, share)
                allowed = free
                place = self._judged(response.headers.get("Location", ""), free, place)
        raise FetchFailed(f"it was redirected more than {_MOST_REDIRECTS} times")

    def _judged(
        self, text: str, free: Collection[Origin], base: URL | None = None, *, trusted: bool = False
    ) -> URL:
        """The address, if it may be asked as far as it can be told without a look at names. Raises NotPublic."""
        if not text or len(text) > _LONGEST_ADDRESS:
            raise NotPublic("the address is empty, or too long")
        try:
            place = URL(text) if base is None else base.join(URL(text))
            scheme, host, port = origin = _origin(place)
        except ValueError:
            raise NotPublic("the address is none of http or https") from None
        if place.user is not None or place.password is not None:
            raise NotPublic("the address has a name or a password in it")
        if trusted or origin in free:
            return place
        if port not in _LOW_PORTS and port < _FIRST_FREE_PORT:
            raise NotPublic(f"the port {port} is not one of {scheme}'s")
        try:
            address = literal(host)
        except ValueError:
            raise NotPublic("the host is neither a name nor an address") from None
        if address is not None and not self._is_public(address):
            raise NotPublic("the host is not public")
        return place

    def _session(self, free: bool) -> aiohttp.ClientSession:
        """Free origins have one of their own, whose names are not judged: the two share no connections."""
        session = self._sessions.get(free)
        if session is None:
            names = (
                JudgedNames(self._trusted_resolve, lambda _: True)
                if free
                else JudgedNames(self._resolve, self._is_public)
            )
            session = self._sessions[free] = aiohttp.ClientSession(
                # Whoever fetches bounds how much at once; one more bound here would count as time to connect.
                connector=aiohttp.TCPConnector(
                    resolver=names, use_dns_cache=False, force_close=True, limit=0
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
                auto_decompress=False,
                trust_env=False,
            )
        return session


async def _content(response: aiohttp.ClientResponse, limit: int, share: Share | None) -> Fetched:
    if response.status != 200:
        said = await bodies.beginning(response)
        raise FetchFailed(f"it answered HTTP {response.status}", response.status, response.headers, said)
    if bodies.compressed(response):
        raise FetchFailed("it was compressed, which it was asked not to be")
    return Fetched(await bodies.whole(response, limit, share), response.content_type.lower())


def _origin(place: URL) -> Origin:
    """Scheme, host and port. Raises ValueError for what is no address of HTTP."""
    if place.scheme not in ("http", "https") or not place.raw_host or not place.port:
        raise ValueError("it is no address of HTTP")
    return place.scheme, place.raw_host.lower(), place.port
