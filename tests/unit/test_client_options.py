"""What the client can be told: where the server is, how it is spoken to, and by whom."""

import pytest
from antiphon.auth.v1 import auth_pb2

from antiphon_client import TLS, Client, MemoryTokenStore, Retries, Tokens, _calls
from antiphon_client._options import Address


@pytest.mark.parametrize(
    ("server", "target", "plain"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", True),
        ("localhost:1", "localhost:1", True),
        ("[::1]:50051", "[::1]:50051", True),
        ("unix:/run/antiphon.sock", "unix:/run/antiphon.sock", True),
        ("chat.example.com:443", "chat.example.com:443", False),
        ("10.0.0.7:50051", "10.0.0.7:50051", False),
        ("http://auth:50051", "auth:50051", True),
        ("https://127.0.0.1:50051/", "127.0.0.1:50051", False),
        ("https://chat.example.com", "chat.example.com:443", False),
    ],
)
def test_only_loopback_is_spoken_to_in_plain_text_unless_asked(server: str, target: str, plain: bool) -> None:
    address = Address.of(server)
    assert address.target == target
    assert (address.tls is None) is plain


@pytest.mark.parametrize(
    "server",
    [
        "",
        "localhost",
        "localhost:",
        "localhost:x",
        "localhost:0",
        "localhost:65536",
        "::1:50051",
        "a b:1",
        "ftp://x:1",
    ],
)
def test_what_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ValueError):
        Address.of(server)


def test_tls_can_be_asked_for_and_switched_off() -> None:
    assert Address.of("127.0.0.1:1", tls=True).tls == TLS()
    assert Address.of("example.com:1", tls=False).tls is None
    named = Address.of("127.0.0.1:1", TLS(server_name="antiphon.internal"))
    assert named.tls is not None
    assert named.tls.server_name == "antiphon.internal"
    with pytest.raises(ValueError):
        Address.of("http://127.0.0.1:1", tls=True)
    with pytest.raises(ValueError):
        Address.of("https://127.0.0.1:1", tls=False)


def test_arguments_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError):
        Client(token="t", store=MemoryTokenStore())
    with pytest.raises(ValueError):
        TLS(certificate=b"pem")
    with pytest.raises(ValueError):
        Retries(attempts=0)


@pytest.mark.parametrize("token", ["ä", "\udcff", "two\nlines", "t\x7f"])
def test_what_can_be_no_token_is_refused_at_once(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Client(token=token)
    assert token not in str(caught.value)


def test_nothing_secret_is_shown() -> None:
    tls = TLS(certificate=b"the certificate", key=b"-----BEGIN PRIVATE KEY-----")
    login = _calls.call(_calls.LOGIN, auth_pb2.LoginRequest(email="ana@example.com", password="hunter2"))
    shown = f"{tls!r} {Address.of('example.com:1', tls)!r} {login!r} {Tokens('access', 1.5, 'refresh')!r}"
    assert "the certificate" in shown
    assert "Login" in shown
    for secret in ("PRIVATE", "hunter2", "'access'", "refresh"):
        assert secret not in shown
