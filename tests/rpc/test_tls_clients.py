"""Connections over TLS that do not come about: the clients of Python and the command line tell why, soon and once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from antiphon_client import TLS, AsyncClient, Client, Retries
from antiphon_client.errors import Unreachable
from services.cli.program import program
from services.kernel.handshakes import Mismatch, mismatch_of
from tests.fakes.certificates import DAY, Authority, Issued, lay_down

pytestmark = pytest.mark.long

AUTHORITY, STRANGER, NAMESAKE = Authority(), Authority("Nobody's"), Authority()
GOOD, ELSEWHERE = AUTHORITY.issue(), AUTHORITY.issue("elsewhere.test")
EXPIRED, EARLY = AUTHORITY.issue(since=2 * DAY, until=-DAY), AUTHORITY.issue(since=-DAY)
TRUSTING = TLS(roots=AUTHORITY.pem)
TWICE = Retries(attempts=2)
SOON = 10.0


def showing(issued: Issued, *, mutual: bool = False) -> grpc.ServerCredentials:
    roots = AUTHORITY.pem if mutual else None
    return grpc.ssl_server_credentials([(issued.key, issued.certificate)], roots, mutual)


def presenting(issued: Issued) -> TLS:
    return TLS(roots=AUTHORITY.pem, certificate=issued.certificate, key=issued.key)


@contextmanager
def listening(credentials: grpc.ServerCredentials | None) -> Iterator[str]:
    """The address of a server that nobody is to reach."""
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


@pytest.mark.parametrize(
    ("shown", "tls", "expected", "told"),
    [
        (showing(GOOD), TLS(roots=STRANGER.pem), Mismatch.AUTHORITY, "signed by no authority"),
        (showing(GOOD), TLS(roots=NAMESAKE.pem), Mismatch.AUTHORITY, "signed by no authority"),
        (showing(EXPIRED), TRUSTING, Mismatch.VALIDITY, "has expired"),
        (showing(EARLY), TRUSTING, Mismatch.VALIDITY, "not valid yet"),
        (showing(ELSEWHERE), TRUSTING, Mismatch.NAME, "for another name"),
        (showing(GOOD), None, Mismatch.CUT, "If it speaks TLS: --server https://"),
        (None, TRUSTING, Mismatch.PLAINTEXT, "does not speak TLS"),
        (showing(GOOD, mutual=True), TRUSTING, Mismatch.CUT, "ANTIPHON_CLIENT_CERTIFICATE"),
        (
            showing(GOOD, mutual=True),
            presenting(STRANGER.issue()),
            Mismatch.CUT,
            "ANTIPHON_CLIENT_CERTIFICATE",
        ),
        (showing(GOOD, mutual=True), presenting(EXPIRED), Mismatch.CUT, "ANTIPHON_CLIENT_CERTIFICATE"),
    ],
    ids=[
        "authority",
        "authority-of-the-same-name",
        "expired",
        "early",
        "name",
        "plain-to-tls",
        "tls-to-plain",
        "no-certificate",
        "certificate-of-a-stranger",
        "expired-certificate",
    ],
)
def test_why_a_connection_does_not_come_about(
    shown: grpc.ServerCredentials | None,
    tls: TLS | None,
    expected: Mismatch,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = time.monotonic()
    with listening(shown) as address:
        server = f"{'http' if tls is None else 'https'}://{address}"
        asynchronous = asyncio.run(refused(server, tls))
        with Client(server, tls=tls, retries=TWICE) as client:
            with pytest.raises(Unreachable) as synchronous:
                client.list_models()
            with pytest.raises(Unreachable) as streaming:
                next(iter(client.stream("Hello")))
        for error in (asynchronous, synchronous.value, streaming.value):
            assert mismatch_of(error.message) is expected
            assert error.message.startswith(f"{address} can't be reached")
            assert error.earlier is None

        output = models(server, tls, tmp_path, monkeypatch)
        assert told in output
        assert output.count(address) == (2 if tls is None else 1)
    assert time.monotonic() - began < SOON


async def refused(server: str, tls: TLS | None) -> Unreachable:
    async with AsyncClient(server, tls=tls, retries=TWICE) as client:
        with pytest.raises(Unreachable) as caught:
            await client.list_models()
    return caught.value


def models(server: str, tls: TLS | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `antiphon models` tells, on one line."""
    given = (
        {} if tls is None else {"CA": tls.roots, "CLIENT_CERTIFICATE": tls.certificate, "CLIENT_KEY": tls.key}
    )
    for name, pem in given.items():
        monkeypatch.delenv(f"ANTIPHON_{name}", raising=False)
        if pem is not None:
            monkeypatch.setenv(f"ANTIPHON_{name}", str(lay_down(folder / name, pem)))
    monkeypatch.delenv("ANTIPHON_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    result = CliRunner().invoke(program(["models"]), ["models", "--server", server])
    assert result.exit_code == 1
    return " ".join(result.output.split())
