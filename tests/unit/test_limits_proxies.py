"""Whose call it is that a proxy brings."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.startup import StartupError
from services.runtime.interceptors.proxies import MAXIMUM_PROXIES, TrustedProxies, parsed
from services.runtime.interceptors.request_id import address_of
from services.settings import Settings

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.0.2.7")])
EDGE, INNER = "10.0.0.1", "fd00::1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        (EDGE, None, EDGE),
        (EDGE, "198.51.100.1", "198.51.100.1"),
        (EDGE, "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        (EDGE, "1.2.3.4, 198.51.100.1, fd00::5, 10.9.9.9", "198.51.100.1"),
        (INNER, "198.51.100.1,192.0.2.7", "198.51.100.1"),
        (EDGE, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (EDGE, "198.51.100.1, unknown", EDGE),
        (EDGE, "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        (EDGE, "", EDGE),
        (EDGE, "198.51.100.1, ", EDGE),
        (EDGE, "198.51.100.1:4711", "198.51.100.1"),
        (EDGE, "[2001:db8::1]:4711", "2001:db8::1"),
        (EDGE, "[2001:db8::1]", "2001:db8::1"),
        (EDGE, "2001:DB8::1", "2001:db8::1"),
        (EDGE, "::ffff:198.51.100.1", "198.51.100.1"),
        (EDGE, "1.2.3.4, ::ffff:10.0.0.2", "1.2.3.4"),
        (EDGE, b"198.51.100.1", EDGE),
        ("unix", "198.51.100.1", "unix"),
    ],
)
def test_the_caller_is_the_last_that_no_trusted_proxy_wrote_of_itself(
    peer: str, forwarded: object, caller: str
) -> None:
    assert PROXIES.caller(peer, forwarded) == caller


@given(st.text(), st.ip_addresses())
def test_nothing_that_a_caller_puts_before_it_makes_the_caller_another(forged: str, real: object) -> None:
    trusting = TrustedProxies([ip_network("10.0.0.1")])
    last = parsed(str(real))
    assert last is not None
    if str(last) != EDGE:
        assert trusting.caller(EDGE, f"{forged},{real}") == str(last)


def test_a_list_without_end_is_read_to_a_bound() -> None:
    many = ",".join(["198.51.100.1"] + ["10.0.0.2"] * MAXIMUM_PROXIES)
    assert PROXIES.caller(EDGE, many) == "10.0.0.2"
    assert PROXIES.caller(EDGE, many.removesuffix(",10.0.0.2")) == "198.51.100.1"


@pytest.mark.parametrize(
    "text", ["", "x", "[::1", "[::1]x", "1.2.3.4:", "1.2.3.4:x", "1.2.3", "::1::", "[::1]:x"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv6:%5B::ffff:192.0.2.1%5D:4711", "192.0.2.1"),
        ("ipv6:[::FFFF:c000:201]:4711", "192.0.2.1"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:[::ffff:nonsense]:1", "::ffff:nonsense"),
    ],
)
def test_an_ipv4_caller_on_an_ipv6_port_is_an_ipv4_caller(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_proxies_are_set_by_address_and_network(tmp_path: Path) -> None:
    settings = Settings.load({"ANTIPHON_SERVER__TRUSTED_PROXIES": "10.0.0.7, fd00::/8"}, tmp_path)
    assert settings.server.trusted_proxies == (ip_network("10.0.0.7"), ip_network("fd00::/8"))
    assert settings.redacted()["ANTIPHON_SERVER__TRUSTED_PROXIES"] == "10.0.0.7,fd00::/8"
    assert Settings.load({}, tmp_path).server.trusted_proxies == ()


@pytest.mark.parametrize("text", ["proxy.example.com", "10.0.0.0/8,,", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"ANTIPHON_SERVER__TRUSTED_PROXIES.*10\.0\.0\.7"):
        Settings.load({"ANTIPHON_SERVER__TRUSTED_PROXIES": text}, tmp_path)


@pytest.mark.parametrize(
    ("text", "network"), [("10.0.0.7/8", "10.0.0.0/8"), ("10.0.0.0/8,fd00::1/16", "fd00::/16")]
)
def test_an_address_within_a_network_is_told_which_of_both_to_write(
    text: str, network: str, tmp_path: Path
) -> None:
    with pytest.raises(StartupError, match=f"TRUSTED_PROXIES.*has host bits set.*{network}"):
        Settings.load({"ANTIPHON_SERVER__TRUSTED_PROXIES": text}, tmp_path)


@pytest.mark.parametrize("text", ["::ffff:10.0.0.0/104", "::ffff:a00:0/104", "::ffff:10.0.0.1"])
def test_proxies_by_ipv4_may_be_written_within_ipv6(text: str, tmp_path: Path) -> None:
    trusted = Settings.load({"ANTIPHON_SERVER__TRUSTED_PROXIES": text}, tmp_path).server.trusted_proxies
    peer = address_of("ipv6:[::ffff:10.0.0.1]:4711")
    assert TrustedProxies(trusted).caller(peer, "198.51.100.1") == "198.51.100.1"
