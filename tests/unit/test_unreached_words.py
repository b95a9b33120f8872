"""Why a server could not be asked, in words."""

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from services.infra.http.words import why_unreached

KEY = ConnectionKey("a.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown")), "no address is known for its host"),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), "nobody listens there"),
        (aiohttp.ClientConnectorError(KEY, OSError(101, "unreachable")), "no connection comes about"),
        (aiohttp.ServerDisconnectedError(), "it closed the connection"),
        (aiohttp.InvalidURL("x"), "its address is none"),
        (aiohttp.ClientPayloadError("x"), "its answer can't be understood"),
    ],
)
def test_no_class_and_no_address_is_named(error: aiohttp.ClientError, told: str) -> None:
    assert why_unreached(error) == told
