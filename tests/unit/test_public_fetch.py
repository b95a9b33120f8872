"""What others name by its address is fetched when it is public, and nothing else is even connected to."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from services.infra.http.addresses import Address, is_public
from services.infra.http.public import (
    FetchFailed,
    FetchTimedOut,
    NotPublic,
    PublicFetch,
    TooLarge,
)
from tests.fakes.chat_play import until
from tests.fakes.image_upstream import (
    breaks_off,
    claims,
    drips,
    floods,
    hangs,
    redirects,
    says,
)
from tests.fakes.public_hosts import IMAGE, INTERNET, NEAR, Names, get, internet


async def test_an_image_of_a_public_host_comes_with_its_type_and_nothing_is_said_of_who_asks() -> None:
    async with internet() as (fetch, server):
        server.answers(says(200, b"an image", kind="Image/PNG; x=1", Set_Cookie="a=1"))
        for _ in range(2):
            found = await fetch.fetch(server.origin + "/a?b=c#d", limit=8, seconds=5, accept="image/*")
            assert (found.data, found.content_type) == (b"an image", "image/png")
    for asked in server.asked:
        assert (asked.method, asked.path, asked.content) == ("GET", "/a", {"b": "c"})
        assert asked.headers.keys() == {"host", "accept", "accept-encoding", "user-agent", "connection"}
        assert asked.headers["host"].startswith("pictures.example:")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pictures.example",
        "//pictures.example/",
        "ftp://pictures.example/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "http://",
        "http://pictures.example:0/",
        "http://pictures.example:25/",
        "http://pictures.example:99999/",
        "http://me@pictures.example/",
        "http://me:secret@pictures.example/",
        "http://pictures.example/" + "x" * 9000,
        "http://near.example/",
        "http://127.0.0.2/",
        "http://127.2/",
        "http://2130706434/",
        "http://0x7f.0.0.2/",
        "http://0177.0.0.2/",
        "http://127.0.0.2./",
        "http://①②⑦.0.0.2/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.2]/",
        "http://[fe80::1%25eth0]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://x\ud800.example/",
    ],
)
async def test_what_is_not_public_is_refused_and_not_connected_to(url: str) -> None:
    async with internet(free=["http://near.example:8080", "https://127.0.0.2"]) as (fetch, _):
        with pytest.raises((NotPublic, FetchFailed)) as refused:
            await get(fetch, url)
        # A name whose form some systems read as an address is asked for, and then there is none.
        assert isinstance(refused.value, NotPublic) or "DNS" in str(refused.value)
        assert "secret" not in str(refused.value)


async def test_a_name_with_one_address_that_is_near_is_refused_as_a_whole() -> None:
    async with internet(Names(pictures_example=[[INTERNET, NEAR]])) as (fetch, server):
        with pytest.raises(NotPublic):
            await get(fetch, server.origin)
        assert server.asked == []


async def test_a_name_that_changes_its_address_is_judged_anew_and_asked_once_a_connection() -> None:
    names = Names(pictures_example=[[INTERNET], [NEAR]])
    async with internet(names) as (fetch, server):
        assert await get(fetch, server.origin) == b"an image"
        assert names.asked == ["pictures.example"]
        with pytest.raises(NotPublic):
            await get(fetch, server.origin)
        assert len(server.asked) == 1


async def test_redirects_are_followed_five_times_and_judged_each_time() -> None:
    async with internet() as (fetch, server):
        server.answers(*[redirects("/next", status) for status in (301, 302, 303, 307, 308)], IMAGE)
        assert await get(fetch, server.origin) == b"an image"
        server.answers(redirects("/again"))
        with pytest.raises(FetchFailed, match="redirected"):
            await get(fetch, server.origin)
        for near in ("http://near.example/", "http://127.0.0.2:8080/", "http://[::1]/", "file:///x", ""):
            server.answers(redirects(near) if near else says(302))
            with pytest.raises(NotPublic):
                await get(fetch, server.origin)


async def test_a_free_origin_may_be_near_and_no_other_port_or_scheme_of_it() -> None:
    names = Names(pictures_example=[[INTERNET]], near_example=[[INTERNET]])
    async with internet(names) as (_, server):
        port = server.origin.rpartition(":")[2]
        near = f"http://127.0.0.1:{port}"
        strict = PublicFetch(free_origins=[near + "/"], is_public=lambda _: False, resolve=names)
        try:
            assert await get(strict, f"{near}/x") == b"an image"
            for other in (
                f"https://127.0.0.1:{port}/",
                "http://127.0.0.1:8080/",
                f"http://127.1:{port}/",
                server.origin,
            ):
                with pytest.raises(NotPublic):
                    await get(strict, other)
            found = await strict.fetch(
                server.origin, limit=10, seconds=5, accept="*/*", free_origins=[server.origin]
            )
            assert found.data == b"an image"
            with pytest.raises(NotPublic):
                await get(strict, server.origin)
        finally:
            await strict.aclose()


async def test_a_credential_goes_to_its_own_origin_alone() -> None:
    async with internet(Names(pictures_example=[[INTERNET]], other_example=[[INTERNET]])) as (fetch, server):
        elsewhere = server.origin.replace("pictures", "other")
        server.answers(redirects("/here"), redirects(elsewhere), IMAGE)
        await fetch.fetch(server.origin, limit=10, seconds=5, accept="*/*", authorization="Bearer x")
    assert ["authorization" in asked.headers for asked in server.asked] == [True, True, False]


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.2:9")
    async with internet() as (fetch, server):
        assert await get(fetch, server.origin) == b"an image"


@pytest.mark.parametrize("play", [claims(2 * 1024**3), floods()], ids=["claims", "floods"])
async def test_what_is_too_large_is_refused_and_its_socket_closed(play: object) -> None:
    async with internet() as (fetch, server):
        server.answers(play)  # type: ignore[arg-type]
        with pytest.raises(TooLarge):
            await get(fetch, server.origin)
        await until(lambda: server.closed == 1)
        server.answers(IMAGE)
        assert await get(fetch, server.origin, limit=8) == b"an image"
        with pytest.raises(TooLarge):
            await get(fetch, server.origin, limit=7)


@pytest.mark.parametrize("play", [hangs(), drips()], ids=["silent", "drips"])
async def test_all_of_it_has_its_time(play: object) -> None:
    async with internet() as (fetch, server):
        server.answers(play)  # type: ignore[arg-type]
        with pytest.raises(FetchTimedOut) as late:
            await get(fetch, server.origin, seconds=0.1)
        assert late.value.stage == "total"
        await until(lambda: server.closed == 1)


async def test_a_name_whose_servers_are_silent_has_the_time_of_a_connection() -> None:
    async def silent(host: str, port: int) -> Sequence[Address]:
        await asyncio.Event().wait()
        return []

    fetch = PublicFetch(connect_seconds=0.05, resolve=silent)
    try:
        with pytest.raises(FetchTimedOut) as late:
            await get(fetch, "http://pictures.example")
    finally:
        await fetch.aclose()
    assert late.value.stage == "connect"


async def test_whoever_cancels_has_the_socket_closed_at_once() -> None:
    async with internet() as (fetch, server):
        server.answers(hangs(after_headers=True))
        task = asyncio.create_task(get(fetch, server.origin))
        await until(lambda: server.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.closed == 1)


async def test_what_is_no_answer_is_told_without_the_address() -> None:
    async with internet() as (fetch, server):
        server.answers(says(404, b"nothing here", Retry_After="3"))
        with pytest.raises(FetchFailed) as told:
            await get(fetch, server.origin)
        assert (told.value.status, told.value.body, told.value.headers["retry-after"]) == (
            404,
            b"nothing here",
            "3",
        )
        for play, words in (
            (says(404, b"nothing"), "HTTP 404"),
            (says(206, b"part"), "HTTP 206"),
            (breaks_off(), "broke off"),
            (says(200, b"\x1f\x8b", Content_Encoding="gzip"), "compressed"),
        ):
            server.answers(play)
            with pytest.raises(FetchFailed, match=words) as failed:
                await get(fetch, server.origin + "/?key=secret", limit=1_000_000)
            assert "secret" not in str(failed.value)
        with pytest.raises(FetchFailed):
            await get(fetch, "http://nowhere.example/")


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_self_signed(tmp_path))
    await site.start()
    fetch = PublicFetch(is_public=lambda _: True, resolve=Names(pictures_example=[[INTERNET]]))
    try:
        with pytest.raises(FetchFailed, match="certificate"):
            await get(fetch, f"https://pictures.example:{runner.addresses[0][1]}/")
    finally:
        await fetch.aclose()
        await runner.cleanup()


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pictures.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("pictures.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "both.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


SPECIAL = [
    ip_network(text)
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
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
    )
]
special_4 = st.sampled_from(SPECIAL).flatmap(
    lambda network: st.integers(0, network.num_addresses - 1).map(lambda place: network[place])
)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
@example(IPv4Address("1.1.1.1"))
def test_a_public_ipv4_address_is_in_no_special_network(address: IPv4Address) -> None:
    known = any(address in network for network in SPECIAL)
    assert is_public(address) is not known
    # Python's own reading differs between its releases in some corners, never in what is near.
    near = address.is_private or address.is_loopback or address.is_multicast or address.is_link_local
    assert not (is_public(address) and near)


@given(special_4)
@example(IPv4Address("169.254.169.254"))
def test_no_form_of_a_special_address_is_public(address: IPv4Address) -> None:
    number = int(address)
    for form in (
        (0xFFFF << 32) | number,
        number,
        (0x64FF9B << 96) | number,
        (0x64FF9B0001 << 80) | number,
        (0x2002 << 112) | (number << 80) | 1,
        (0x20010000 << 96) | (number ^ 0xFFFF_FFFF),
        (0x20010000 << 96) | (number << 64),
    ):
        assert not is_public(IPv6Address(form))
    assert not is_public(address)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
@example(IPv6Address("fd00:ec2::254"))
@example(IPv6Address("2606:4700:4700::1111"))
def test_a_public_ipv6_address_is_global_unicast(address: IPv6Address) -> None:
    if is_public(address):
        assert address in ip_network("2000::/3")
        assert address.is_global
        assert not address.is_private
        assert address.teredo is None
        assert address.sixtofour is None


def test_addresses_of_the_internet_are_public() -> None:
    for text in (
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700:4700::1111",
        "64:ff9b::101:101",
        "::ffff:1.1.1.1",
    ):
        assert is_public(ip_address(text)), text
