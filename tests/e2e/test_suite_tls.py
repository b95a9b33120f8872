"""Two processes that speak TLS with one another and with everybody else, and certificates that are replaced while they serve."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from antiphon_client import TLS, Client
from tests.e2e.suite_process import SuiteProcess
from tests.fakes.certificates import Authority, lay_down
from tests.fakes.served_suite import SECRET_KEY
from tests.peers.programs import eventually

pytestmark = pytest.mark.long

AUTHORITY = Authority()
FOR_PEERS = "the certificate for peers"
EMAIL, PASSWORD = "ana@example.com", "correct horse battery"


@pytest.fixture
def processes(migrated_url: str, tmp_path: Path) -> Iterator[tuple[SuiteProcess, SuiteProcess]]:
    """Auth and Chat, each showing the certificate of server.pem to its callers and to the other."""
    certificate, key = AUTHORITY.issue("127.0.0.1", "localhost").write(tmp_path, "server")
    ca = lay_down(tmp_path / "ca.pem", AUTHORITY.pem)
    settings = {
        "DATABASE_URL": migrated_url,
        "ANTIPHON_SECRET_KEY": SECRET_KEY,
        "ANTIPHON_SERVER__TLS_CERTIFICATE": str(certificate),
        "ANTIPHON_SERVER__TLS_KEY": str(key),
        "ANTIPHON_SERVER__TLS_CLIENT_CA": str(ca),
        "ANTIPHON_PEERS__CA": str(ca),
        "ANTIPHON_PEERS__CERTIFICATE": str(certificate),
        "ANTIPHON_PEERS__KEY": str(key),
    }
    auth = SuiteProcess(tmp_path / "auth", services=("auth",), settings=settings)
    apart = {**settings, "ANTIPHON_PEERS__AUTH": f"https://localhost:{auth.port}"}
    chat = SuiteProcess(tmp_path / "chat", services=("chat",), settings=apart)
    try:
        yield auth.up(), chat.up()
    finally:
        auth.kill()
        chat.kill()


def client_of(suite: SuiteProcess, token: str | None = None) -> Client:
    own = AUTHORITY.issue(common_name="a caller")
    tls = TLS(roots=AUTHORITY.pem, certificate=own.certificate, key=own.key)
    return Client(f"https://{suite.address}", tls=tls, token=token)


def serial_number(suite: SuiteProcess) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", suite.port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def told(suite: SuiteProcess, what: str = "the certificate") -> list[object]:
    return [line["event"] for line in suite.log if str(line["event"]).startswith(f"{what} was")]


def test_services_apart_over_mutual_tls_whose_files_are_replaced(
    processes: tuple[SuiteProcess, SuiteProcess], tmp_path: Path
) -> None:
    auth, chat = processes
    assert f"address  https://{auth.address}" in auth.out
    with client_of(auth) as client:
        client.register(EMAIL, PASSWORD)
        token = client.login(EMAIL, PASSWORD).access_token
    with client_of(chat, token) as client:
        assert client.chat("Hello").generation.generation_id
        before = serial_number(chat)
        AUTHORITY.issue("127.0.0.1", "localhost").write(tmp_path, "server")
        assert serial_number(chat) != before
        assert told(chat)[-1] == "the certificate was replaced"
        eventually(
            lambda: told(chat, FOR_PEERS) == [f"{FOR_PEERS} was replaced"], "the certificate for Auth", 20
        )
        assert client.chat("Hello again").generation.generation_id

    now = serial_number(auth)
    lay_down(tmp_path / "server.pem", b"nothing of use")
    count = len(told(auth))
    auth.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(told(auth)) > count, "what the log tells of the broken file", 20)
    assert told(auth)[-1] == "the certificate was not replaced"
    assert serial_number(auth) == now

    AUTHORITY.issue("127.0.0.1", "localhost").write(tmp_path, "server")
    auth.process.send_signal(signal.SIGHUP)
    eventually(lambda: told(auth)[-1] == "the certificate was replaced", "the new certificate", 20)
    assert serial_number(auth) != now

    assert (chat.stop(), auth.stop()) == (0, 0)
