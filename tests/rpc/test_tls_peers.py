"""Services apart that speak TLS with one another, and what the doctor says of it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.peer_channel import PeerChannel
from services.bootstrap.peer_credentials import PeerTls
from services.bootstrap.peers import channel_to as peer_channel_to
from services.bootstrap.suite import Suite, serving
from services.bootstrap.tls import certificates_found, peer_over_tls
from services.kernel.startup import StartupError
from services.runtime.logs import Log
from services.settings import PeerSettings, ServerSettings, Settings
from tests.fakes.certificates import Authority, lay_down
from tests.fakes.runtime_services import running

SECRET = "a secret of the tests that is long enough"
AUTHORITY, STRANGER = Authority(), Authority("Nobody's")
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def log_file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


@pytest.fixture
def log() -> Iterator[Log]:
    with tempfile.TemporaryFile() as file:
        yield Log("WARNING", pretty=False, stream=file.fileno())


def paths(folder: Path) -> dict[str, str]:
    """One certificate for all, as listeners show it and as peers do; who believes whom is the authority's word both ways."""
    certificate, key = AUTHORITY.issue().write(folder, "server")
    ca = lay_down(folder / "ca.pem", AUTHORITY.pem)
    listener = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key, "TLS_CLIENT_CA": ca}
    peers = {"CA": ca, "CERTIFICATE": certificate, "KEY": key}
    return {
        **{f"ANTIPHON_SERVER__{name}": str(path) for name, path in listener.items()},
        **{f"ANTIPHON_PEERS__{name}": str(path) for name, path in peers.items()},
    }


def settings_for(url: str, folder: Path, **more: str) -> Settings:
    environ = {
        "DATABASE_URL": url,
        "ANTIPHON_SECRET_KEY": SECRET,
        "ANTIPHON_SERVER__PORT": "0",
        "ANTIPHON_SERVER__GRACE": "0s",
        "ANTIPHON_METRICS__ADDRESS": "off",
        "ANTIPHON_CHAT__ECHO_INTERVAL_MS": "1",
        **more,
    }
    return Settings.load(environ, folder)


@asynccontextmanager
async def channel_to(suite: Suite) -> AsyncIterator[grpc.aio.Channel]:
    own = AUTHORITY.issue(common_name="a caller")
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, own.key, own.certificate)
    async with grpc.aio.secure_channel(suite.server.address, credentials, OPTIONS) as channel:
        yield channel


async def registered(suite: Suite) -> str:
    """An access token."""
    async with channel_to(suite) as channel:
        stub: Any = auth_pb2_grpc.AuthServiceStub(channel)
        password = "correct horse battery"
        await stub.Register(auth_pb2.RegisterRequest(email="ana@example.com", password=password))
        login = await stub.Login(auth_pb2.LoginRequest(email="ana@example.com", password=password))
        return str(login.access_token)


async def test_chat_asks_auth_over_mutual_tls(migrated_url: str, tmp_path: Path, log: Log) -> None:
    tls = paths(tmp_path)
    async with serving(settings_for(migrated_url, tmp_path, **tls), ["auth"], log, {}) as auth:
        token = await registered(auth)
        peer = f"https://{auth.server.address}"
        apart = settings_for(migrated_url, tmp_path, ANTIPHON_PEERS__AUTH=peer, **tls)
        async with serving(apart, ["chat"], log, {}) as chat, channel_to(chat) as channel:
            call: Any = chat_pb2_grpc.ChatServiceStub(channel).StreamChat(
                chat_pb2.StreamChatRequest(message="Hello"), metadata=(("authorization", f"Bearer {token}"),)
            )
            events = [response.event async for response in call]
            assert events[0].started.session_id
            assert chat.health.broken == {}

        good = await peer_over_tls("peer auth", peer, apart.peers, 3.0)
        assert good == Finding("peer auth", Verdict.GOOD, peer)
        believing = dataclasses.replace(apart.peers, ca=lay_down(tmp_path / "other.pem", STRANGER.pem))
        for peers, why, advice in (
            (believing, "no authority", "ANTIPHON_PEERS__CA"),
            (PeerSettings(ca=apart.peers.ca), "broke the connection off", "ANTIPHON_PEERS__CERTIFICATE"),
        ):
            found = await peer_over_tls("peer auth", peer, peers, 3.0)
            assert found.verdict is Verdict.BAD
            assert why in found.detail
            assert advice in found.advice
    found = await peer_over_tls("peer auth", "https://127.0.0.1:1", apart.peers, 3.0)
    assert "ANTIPHON_PEERS__AUTH" in found.advice


async def test_what_is_shown_to_a_peer_is_replaced_and_calls_that_run_go_on(
    tmp_path: Path, log_file: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Peer and caller change their authority; neither would know the other by what it had before."""
    caplog.set_level("INFO", "services.runtime.replaceable")
    certificate, key = AUTHORITY.issue().write(tmp_path, "server")
    callers = lay_down(tmp_path / "callers.pem", AUTHORITY.pem)
    listener = ServerSettings(
        port=0, grace=0.2, tls_certificate=certificate, tls_key=key, tls_client_ca=callers
    )
    mine, my_key = AUTHORITY.issue().write(tmp_path, "mine")
    peers = PeerSettings(ca=lay_down(tmp_path / "ca.pem", AUTHORITY.pem), certificate=mine, key=my_key)
    async with running(log_file, settings=listener) as suite:
        suite.behaviour.hold = asyncio.Event()
        async with peer_channel_to(f"https://{suite.server.address}", PeerTls(peers)) as channel:
            assert isinstance(channel, PeerChannel)
            chat: Any = chat_pb2_grpc.ChatServiceStub(channel)
            running_call = aiter(chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello")))
            assert (await anext(running_call)).event.seq == 1
            first = channel.current()
            STRANGER.issue().write(tmp_path, "server")
            lay_down(callers, STRANGER.pem)
            lay_down(tmp_path / "ca.pem", STRANGER.pem)
            # Between the two there is nothing that could be shown, and what was shown before stays.
            renewed = STRANGER.issue()
            lay_down(mine, renewed.certificate)
            assert channel.current() is first
            lay_down(my_key, renewed.key)
            await asyncio.wait_for(channel.channel_ready(), 10)
            assert channel.current() is not first

            suite.behaviour.hold.set()
            assert len([response async for response in running_call]) == 2
            await asyncio.wait_for(until_closed(first), 10)
            again = chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello"), timeout=10)
            assert len([response async for response in again]) == 3
        told = [record.message for record in caplog.records if "peers" in record.message]
        assert told == [
            "the certificate for peers was not replaced",
            "the certificate for peers was replaced",
        ]


async def test_a_channel_whose_certificates_were_replaced_ends_all_calls_when_it_is_closed(
    tmp_path: Path, log_file: int
) -> None:
    certificate, key = AUTHORITY.issue().write(tmp_path, "server")
    listener = ServerSettings(port=0, grace=0.2, tls_certificate=certificate, tls_key=key)
    peers = PeerSettings(ca=lay_down(tmp_path / "ca.pem", AUTHORITY.pem))
    async with running(log_file, settings=listener) as suite:
        suite.behaviour.hold = asyncio.Event()
        async with peer_channel_to(f"https://{suite.server.address}", PeerTls(peers)) as channel:
            chat: Any = chat_pb2_grpc.ChatServiceStub(channel)
            old = chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello"))
            assert (await old.read()).event.seq == 1
            lay_down(tmp_path / "ca.pem", AUTHORITY.pem + STRANGER.pem)
            new = chat.StreamChat(chat_pb2.StreamChatRequest(message="Hello"))
            assert (await new.read()).event.seq == 1
        assert await old.code() is await new.code() is grpc.StatusCode.CANCELLED


async def until_closed(channel: grpc.aio.Channel) -> None:
    while (state := channel.get_state()) is not grpc.ChannelConnectivity.SHUTDOWN:
        await channel.wait_for_state_change(state)


async def test_wrong_files_end_the_start_before_the_database_is_looked_for(tmp_path: Path, log: Log) -> None:
    tls = paths(tmp_path)
    (tmp_path / "ca.pem").write_text("nothing of use")
    peers = {name: value for name, value in tls.items() if "PEERS" in name}
    settings = settings_for(
        "postgresql://127.0.0.1:1/x", tmp_path, ANTIPHON_PEERS__AUTH="https://127.0.0.1:1", **peers
    )
    with pytest.raises(StartupError, match="holds no certificate") as told:
        async with serving(settings, ["chat"], log, {}):
            pass
    assert "ANTIPHON_PEERS__CA" in told.value.advice


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in certificates_found(settings)}


def test_the_doctor_looks_at_certificates(tmp_path: Path) -> None:
    url = "postgresql://127.0.0.1:1/x"
    assert found(settings_for(url, tmp_path)) == {}
    tls = paths(tmp_path)
    lasting = {name: path for name, path in tls.items() if not path.endswith("ca.pem")}
    settings = settings_for(url, tmp_path, ANTIPHON_PEERS__AUTH="https://auth:1", **lasting)
    told = found(settings)
    assert {each.verdict for each in told.values()} == {Verdict.GOOD}
    assert told["tls"].detail == f"{tmp_path}/server.pem is for 127.0.0.1; valid for 89 more days"

    AUTHORITY.issue(until=dt.timedelta(days=13, hours=12)).write(tmp_path, "server")
    told = found(settings)
    assert {each.verdict for each in told.values()} == {Verdict.NOTE}
    assert "valid for 13 more days" in told["peers tls"].detail
    assert told["tls"].advice

    AUTHORITY.issue(until=dt.timedelta(hours=-1)).write(tmp_path, "server")
    told = found(settings)
    assert {each.verdict for each in told.values()} == {Verdict.BAD}
    assert "has expired" in told["tls"].detail


def test_the_doctor_notes_files_that_no_peer_is_spoken_to_with(tmp_path: Path) -> None:
    tls = {name: path for name, path in paths(tmp_path).items() if "PEERS" in name}
    settings = settings_for(
        "postgresql://127.0.0.1:1/x", tmp_path, ANTIPHON_PEERS__AUTH="http://auth:1", **tls
    )
    told = found(settings)["peers tls"]
    assert told.verdict is Verdict.NOTE
    assert "https://" in told.advice
