"""The listener over TLS: who is let in, whom it is to be for the services behind it, and certificates that are replaced while it serves."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from cryptography import x509

from antiphon_client import TLS, AsyncClient, Retries
from antiphon_client.errors import Unreachable
from services.kernel.handshakes import Mismatch, mismatch_of
from services.kernel.startup import StartupError
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.server import Server
from services.settings import ServerSettings
from tests.fakes.certificates import Authority, Issued, lay_down
from tests.fakes.runtime_services import Running, bearer, running

AUTHORITY, STRANGER = Authority(), Authority("Nobody's")
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def settings_in(folder: Path, *, mutual: bool = False, **more: Any) -> ServerSettings:
    certificate, key = AUTHORITY.issue().write(folder, "server")
    client_ca = lay_down(folder / "callers.pem", AUTHORITY.pem) if mutual else None
    return dataclasses.replace(
        ServerSettings(port=0, grace=0.2, tls_certificate=certificate, tls_key=key, tls_client_ca=client_ca),
        **more,
    )


def trusting(authority: Authority, own: Issued | None = None) -> grpc.ChannelCredentials:
    if own is None:
        return grpc.ssl_channel_credentials(authority.pem)
    return grpc.ssl_channel_credentials(authority.pem, own.key, own.certificate)


@contextlib.asynccontextmanager
async def chat_at(address: str, credentials: grpc.ChannelCredentials | None) -> AsyncIterator[Any]:
    channel = (
        grpc.aio.insecure_channel(address, OPTIONS)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, OPTIONS)
    )
    async with channel:
        yield chat_pb2_grpc.ChatServiceStub(channel)


async def heard(chat: Any) -> int:
    """How many events a stream has."""
    call = chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello"), timeout=5)
    return len([response async for response in call])


async def events(suite: Running, credentials: grpc.ChannelCredentials | None) -> int:
    """How many events a stream to the server has."""
    async with chat_at(suite.server.address, credentials) as chat:
        return await heard(chat)


async def refused(suite: Running, credentials: grpc.ChannelCredentials | None) -> Mismatch | None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events(suite, credentials)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    return mismatch_of(caught.value.details() or "")


def shown(suite: Running) -> x509.Certificate:
    """The certificate that a new connection sees."""
    pem = ssl.get_server_certificate(("127.0.0.1", suite.server.port), timeout=5)
    return x509.load_pem_x509_certificate(pem.encode())


async def test_who_trusts_the_authority_is_served_and_nobody_in_plain_text(
    tmp_path: Path, log_file: int
) -> None:
    async with running(log_file, settings=settings_in(tmp_path)) as suite:
        assert suite.server.speaks_tls
        assert await events(suite, trusting(AUTHORITY)) == 3
        assert await refused(suite, None) is Mismatch.CUT
        assert await refused(suite, trusting(STRANGER)) is Mismatch.AUTHORITY
        async with AsyncClient(
            f"https://{suite.server.address}", tls=TLS(roots=AUTHORITY.pem), token="user"
        ) as client:
            assert (await client.profile()).user_id == "ana"
        async with AsyncClient(
            f"https://{suite.server.address}", tls=TLS(roots=STRANGER.pem), retries=Retries(attempts=1)
        ) as client:
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await client.chat("Hello")
        # Those who failed did nobody harm.
        assert await events(suite, trusting(AUTHORITY)) == 3


async def test_tls_makes_an_address_reachable_without_plain_text_being_allowed(
    tmp_path: Path, log_file: int
) -> None:
    async with running(log_file, settings=settings_in(tmp_path, host="0.0.0.0")) as suite:
        assert suite.server.reachable_address == f"127.0.0.1:{suite.server.port}"
        async with chat_at(suite.server.reachable_address, trusting(AUTHORITY)) as chat:
            assert await heard(chat) == 3


async def test_the_reachable_address_is_one_that_the_certificate_is_for(
    tmp_path: Path, log_file: int
) -> None:
    settings = settings_in(tmp_path)
    AUTHORITY.issue("*.test", "antiphon.test").write(tmp_path, "server")
    async with running(log_file, settings=settings) as suite:
        assert suite.server.reachable_address == f"antiphon.test:{suite.server.port}"
        assert await refused(suite, trusting(AUTHORITY)) is Mismatch.NAME


async def test_callers_have_to_show_a_certificate_where_that_is_asked_for(
    tmp_path: Path, log_file: int
) -> None:
    async with running(log_file, settings=settings_in(tmp_path, mutual=True)) as suite:
        assert await refused(suite, trusting(AUTHORITY)) is Mismatch.CUT
        assert await refused(suite, trusting(AUTHORITY, STRANGER.issue())) is Mismatch.CUT
        assert await events(suite, trusting(AUTHORITY, AUTHORITY.issue())) == 3


async def test_authorities_in_between_follow_the_certificates_of_both(tmp_path: Path, log_file: int) -> None:
    middle = Authority("In between", by=AUTHORITY)
    own, theirs = middle.issue(), middle.issue()
    settings = settings_in(tmp_path, mutual=True)
    Issued(own.certificate + middle.pem, own.key).write(tmp_path, "server")
    async with running(log_file, settings=settings) as suite:
        shown = Issued(theirs.certificate + middle.pem, theirs.key)
        assert await events(suite, trusting(AUTHORITY, shown)) == 3
        assert await refused(suite, trusting(AUTHORITY, theirs)) is Mismatch.CUT
        # Where the one in between alone is believed, nobody else's certificates are.
        lay_down(tmp_path / "callers.pem", middle.pem)
        assert await events(suite, trusting(middle, theirs)) == 3
        assert await refused(suite, trusting(middle, AUTHORITY.issue())) is Mismatch.CUT


async def test_a_certificate_is_no_credential_and_the_address_is_the_peers(
    tmp_path: Path, log_file: int
) -> None:
    credentials = trusting(AUTHORITY, AUTHORITY.issue(common_name="admin"))
    request = auth_pb2.GetProfileRequest()
    async with (
        running(log_file, settings=settings_in(tmp_path, mutual=True)) as suite,
        grpc.aio.secure_channel(suite.server.address, credentials, OPTIONS) as channel,
    ):
        auth: Any = auth_pb2_grpc.AuthServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await auth.GetProfile(request, timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        profile = await auth.GetProfile(request, timeout=5, metadata=bearer("user"))
        assert profile.user.user_id == "ana"
        assert [seen.address for seen in suite.behaviour.seen] == ["127.0.0.1"]


async def test_replaced_files_are_shown_to_new_connections_and_old_ones_go_on(
    tmp_path: Path, log_file: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(log_file, settings=settings_in(tmp_path)) as suite:
        first = await asyncio.to_thread(shown, suite)
        async with chat_at(suite.server.address, trusting(AUTHORITY)) as chat:
            assert await heard(chat) == 3
            AUTHORITY.issue().write(tmp_path, "server")
            second = await asyncio.to_thread(shown, suite)
            assert second.serial_number != first.serial_number

            (tmp_path / "server.pem").write_text("half a cert")
            assert await asyncio.to_thread(shown, suite) == second
            assert await events(suite, trusting(AUTHORITY)) == 3
            told = [
                record for record in caplog.records if record.message == "the certificate was not replaced"
            ]
            assert len(told) == 1

            assert await heard(chat) == 3
            STRANGER.issue().write(tmp_path, "server")
            assert await events(suite, trusting(STRANGER)) == 3
            assert await refused(suite, trusting(AUTHORITY)) is Mismatch.AUTHORITY
            assert await heard(chat) == 3


async def test_replaced_authorities_of_callers_hold_for_new_connections(
    tmp_path: Path, log_file: int
) -> None:
    async with running(log_file, settings=settings_in(tmp_path, mutual=True)) as suite:
        stranger = trusting(AUTHORITY, STRANGER.issue())
        assert await refused(suite, stranger) is Mismatch.CUT
        lay_down(tmp_path / "callers.pem", STRANGER.pem)
        assert await events(suite, stranger) == 3
        assert await refused(suite, trusting(AUTHORITY, AUTHORITY.issue())) is Mismatch.CUT


async def test_every_address_of_a_name_shows_the_new_certificate(tmp_path: Path, log_file: int) -> None:
    settings = settings_in(tmp_path, host="::")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with running(log_file, settings=settings) as suite:
        new = AUTHORITY.issue("127.0.0.1", "::1")
        new.write(tmp_path, "server")
        for host in ("[::1]", "127.0.0.1", "[::1]"):
            async with chat_at(f"{host}:{suite.server.port}", trusting(AUTHORITY)) as chat:
                assert await heard(chat) == 3


async def test_files_that_can_not_be_used_take_no_port(tmp_path: Path, log_file: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = settings_in(tmp_path, port=port)
    (tmp_path / "server.key").chmod(0o604)
    with pytest.raises(StartupError, match="every user"):
        Server(settings, Metrics(), Log("INFO", pretty=False, stream=log_file))
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_an_old_version_of_tls_is_not_spoken(tmp_path: Path, log_file: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=AUTHORITY.pem.decode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with running(log_file, settings=settings_in(tmp_path)) as suite:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", suite.server.port, ssl=context)
