"""Why a server could not be asked, in words for people: no address is in them, and no name of a class."""

from __future__ import annotations

import aiohttp


def why_unreached(error: aiohttp.ClientError | OSError | ValueError) -> str:
    """What a failure of a request means."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no address is known for its host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate can't be trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak TLS as it should"
    if isinstance(error, ConnectionRefusedError) or _cause(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "it closed the connection"
    if isinstance(error, aiohttp.InvalidURL):
        return "its address is none"
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientResponseError):
        return "no connection comes about"
    return "its answer can't be understood"


def _cause(error: Exception, kind: type[OSError]) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, kind)
