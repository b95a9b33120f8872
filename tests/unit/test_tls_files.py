"""The PEM files that TLS is made of: what is read out of them, and what is said of each that can't be used."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.bootstrap.peer_credentials import PeerFiles, PeerTls, read_files
from services.kernel.startup import StartupError
from services.runtime.tls import ListenerTls, TlsFiles, files_of
from services.settings import PeerSettings, ServerSettings
from tests.fakes.certificates import DAY, Authority, Issued, lay_down, with_passphrase
from tests.peers.programs import eventually

AUTHORITY = Authority()


def files(folder: Path, issued: Issued | None = None) -> TlsFiles:
    certificate, key = (issued or AUTHORITY.issue("antiphon.test", "127.0.0.1")).write(folder, "server")
    return TlsFiles(certificate, key, lay_down(folder / "ca.pem", AUTHORITY.pem))


def test_what_is_right_is_read(tmp_path: Path) -> None:
    found = files(tmp_path).read()
    assert found.own.names == ("antiphon.test", "127.0.0.1")
    assert found.callers is not None
    assert found.callers.pem == AUTHORITY.pem
    # The authority's own certificate ends first.
    assert found.expires == found.callers.expires < found.own.expires
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["rsa", "p384"],
)
def test_keys_of_other_kinds(tmp_path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    assert files(tmp_path, AUTHORITY.issue(key=key)).read().own.names == ("127.0.0.1",)


def between(**dates: dt.timedelta) -> Issued:
    """A certificate whose authority another one certified, with that one's behind it."""
    middle = Authority("In between", by=AUTHORITY, **dates)
    issued = middle.issue("antiphon.test")
    return Issued(issued.certificate + middle.pem, issued.key)


def test_a_certificate_lasts_as_long_as_that_of_its_authority_behind_it(tmp_path: Path) -> None:
    found = files(tmp_path, between(until=dt.timedelta(hours=1))).read()
    assert found.expires == found.own.expires < dt.datetime.now(dt.UTC) + DAY


@pytest.mark.parametrize(
    ("since", "until"), [(2 * DAY, -DAY), (-DAY, 2 * DAY)], ids=["the old one", "the next one"]
)
def test_an_authority_that_is_not_valid_beside_one_that_is(
    tmp_path: Path, since: dt.timedelta, until: dt.timedelta
) -> None:
    there = files(tmp_path)
    assert there.client_ca is not None
    lay_down(there.client_ca, Authority("Another", since=since, until=until).pem + AUTHORITY.pem)
    assert there.read().callers is not None


def test_a_group_may_read_the_key(tmp_path: Path) -> None:
    there = files(tmp_path)
    there.key.chmod(0o640)
    there.read()


def _swapped(there: TlsFiles) -> None:
    lay_down(there.key, AUTHORITY.issue().key)


def _authority_first(there: TlsFiles) -> None:
    lay_down(there.certificate, AUTHORITY.pem + there.certificate.read_bytes())


def _of_kind(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
) -> Callable[[TlsFiles], object]:
    return lambda there: AUTHORITY.issue(key=key).write(there.key.parent, "server")


@pytest.mark.parametrize(
    ("spoil", "message", "advice"),
    [
        (lambda it: it.certificate.unlink(), "server.pem can't be read: No such file", "TLS_CERTIFICATE"),
        (lambda it: it.key.unlink(), "server.key can't be read: No such file", "TLS_KEY"),
        (lambda it: it.client_ca.unlink(), "ca.pem can't be read: No such file", "TLS_CLIENT_CA"),
        (lambda it: lay_down(it.certificate, b"x"), "holds no certificate in PEM form", "TLS_CERTIFICATE"),
        (lambda it: lay_down(it.certificate, it.key.read_bytes()), "holds no certificate", "TLS_CERTIFICATE"),
        (lambda it: lay_down(it.client_ca, b""), "ca.pem holds no certificate", "TLS_CLIENT_CA"),
        (lambda it: lay_down(it.key, it.certificate.read_bytes()), "holds no private key", "server.pem"),
        (lambda it: it.key.chmod(0o644), "can be read by every user", "chmod o="),
        (
            lambda it: lay_down(it.key, with_passphrase(it.key.read_bytes(), b"secret")),
            "has a passphrase",
            "openssl pkey",
        ),
        (_swapped, "does not fit the certificate", "first in its file"),
        (_authority_first, "does not fit the certificate", "first in its file"),
        (_of_kind(ed25519.Ed25519PrivateKey.generate()), "of a kind", "P-256"),
        (_of_kind(ec.generate_private_key(ec.SECP521R1())), "of a kind", "P-256"),
        (_of_kind(rsa.generate_private_key(65537, 1024)), "of a kind", "2048"),
        (
            lambda it: AUTHORITY.issue(until=dt.timedelta(seconds=-1)).write(it.key.parent, "server"),
            "has expired on",
            "new one",
        ),
        (
            lambda it: AUTHORITY.issue(since=-DAY).write(it.key.parent, "server"),
            "is not valid before",
            "clock",
        ),
        (
            lambda it: between(since=2 * DAY, until=-DAY).write(it.key.parent, "server"),
            "The certificate of its authority in",
            "new one",
        ),
        (
            lambda it: lay_down(it.client_ca, Authority(since=2 * DAY, until=-DAY).pem),
            "ca.pem has expired on",
            "new one",
        ),
    ],
)
def test_what_is_wrong_is_told(
    tmp_path: Path, spoil: Callable[[TlsFiles], object], message: str, advice: str
) -> None:
    there = files(tmp_path)
    spoil(there)
    with pytest.raises(StartupError) as told:
        there.read()
    assert message in told.value.message
    assert advice in told.value.advice
    assert "PRIVATE KEY" not in told.value.message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tls_certificate": Path("a")}, "ANTIPHON_SERVER__TLS_CERTIFICATE without ANTIPHON_SERVER__TLS_KEY"),
        ({"tls_key": Path("a")}, "ANTIPHON_SERVER__TLS_KEY without ANTIPHON_SERVER__TLS_CERTIFICATE"),
        (
            {"tls_client_ca": Path("a")},
            "ANTIPHON_SERVER__TLS_CLIENT_CA without ANTIPHON_SERVER__TLS_CERTIFICATE and",
        ),
    ],
)
def test_one_setting_without_another(given: dict[str, Path], message: str) -> None:
    with pytest.raises(StartupError) as told:
        files_of(dataclasses.replace(ServerSettings(), **given))  # type: ignore[arg-type]
    assert message in told.value.message


def test_no_setting_is_plain_text() -> None:
    assert files_of(ServerSettings()) is None


def test_what_was_replaced_by_something_wrong_is_told_once_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    there = files(tmp_path)
    listener = ListenerTls(there)
    assert listener._changed() is None
    lay_down(there.certificate, b"nothing of use")
    assert [listener._changed() for _ in range(3)] == [None] * 3
    assert [record.message for record in caplog.records] == ["the certificate was not replaced"]
    listener.reload()
    assert len(caplog.records) == 2
    AUTHORITY.issue("new.test").write(tmp_path, "server")
    assert listener._changed() is not None
    assert listener._changed() is None
    assert listener.names == ("new.test",)
    assert caplog.records[-1].message == "the certificate was replaced"


def test_a_file_that_was_touched_is_read_and_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    there = files(tmp_path)
    listener = ListenerTls(there)
    os.utime(there.key, (1, 1))
    assert listener._changed() is None
    assert caplog.records == []


def test_a_key_whose_mode_is_corrected_is_read(tmp_path: Path) -> None:
    there = files(tmp_path)
    listener = ListenerTls(there)
    AUTHORITY.issue("new.test").write(tmp_path, "server")
    there.key.chmod(0o604)
    assert listener._changed() is None
    there.key.chmod(0o600)
    assert listener._changed() is not None
    assert listener.names == ("new.test",)


def test_a_certificate_is_taken_when_its_time_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = ListenerTls(files(tmp_path))
    # In whole seconds, as certificates tell time.
    AUTHORITY.issue("new.test", since=-dt.timedelta(seconds=2)).write(tmp_path, "server")
    assert [listener._changed() for _ in range(3)] == [None] * 3
    eventually(lambda: listener._changed() is not None, "the certificate that is valid now", 10)
    assert listener.names == ("new.test",)
    assert [record.message for record in caplog.records] == ["the certificate was not replaced"]


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = files(tmp_path)
    listener = ListenerTls(there)
    AUTHORITY.issue("new.test").write(tmp_path, "server")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", _too_many_open_files)
        assert listener._changed() is None
    assert listener._changed() is not None


def _too_many_open_files(path: Path) -> bytes:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_between_the_two_files_of_a_renewal_there_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    there = files(tmp_path)
    listener = ListenerTls(there)
    new = AUTHORITY.issue("new.test")
    lay_down(there.certificate, new.certificate)
    assert listener._changed() is None
    listener.reload()
    assert listener.names == ("antiphon.test", "127.0.0.1")
    lay_down(there.key, new.key)
    assert listener._changed() is not None
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


def test_a_certificate_that_expires_in_use_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener = ListenerTls(files(tmp_path, AUTHORITY.issue(until=dt.timedelta(seconds=2))))
    assert caplog.records == []
    eventually(lambda: bool(listener._changed() or caplog.records), "what is told of an expired one", 10)
    # Another that has expired, too, takes no place.
    AUTHORITY.issue("late.test", until=dt.timedelta(seconds=-1)).write(tmp_path, "server")
    assert [listener._changed() for _ in range(3)] == [None] * 3
    assert [record.message for record in caplog.records] == [
        "the certificate has expired",
        "the certificate was not replaced",
    ]
    AUTHORITY.issue("new.test").write(tmp_path, "server")
    assert listener._changed() is not None


def test_a_reload_is_handed_to_the_next_handshake(tmp_path: Path) -> None:
    listener = ListenerTls(files(tmp_path))
    AUTHORITY.issue("new.test").write(tmp_path, "server")
    listener.reload()
    assert listener.names == ("new.test",)
    assert listener._changed() is not None
    assert listener._changed() is None


def test_the_lines_of_the_operators_page_make_files_that_can_be_used(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    lines = page.partition("runs these lines. -->\n```sh\n")[2].partition("```")[0]
    assert len(lines.splitlines()) == 9
    subprocess.run(["sh", "-ec", lines], cwd=tmp_path, check=True, capture_output=True)
    found = TlsFiles(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem").read()
    assert found.own.names == ("antiphon.internal", "localhost", "127.0.0.1")
    assert found.callers is not None
    peers = PeerSettings(
        ca=tmp_path / "ca.pem", certificate=tmp_path / "client.pem", key=tmp_path / "client.key"
    )
    assert read_files(peers).own is not None


def test_peers_files(tmp_path: Path) -> None:
    assert read_files(PeerSettings()) == PeerFiles()
    certificate, key = AUTHORITY.issue().write(tmp_path, "peer")
    ca = lay_down(tmp_path / "ca.pem", AUTHORITY.pem)
    found = read_files(PeerSettings(ca=ca, certificate=certificate, key=key))
    assert found.roots is not None
    assert found.own is not None
    assert (found.roots.pem, found.own.chain) == (AUTHORITY.pem, certificate.read_bytes())
    assert (found.names, found.expires) == (("127.0.0.1",), found.roots.expires)
    for given, missing in (
        (PeerSettings(certificate=certificate), "ANTIPHON_PEERS__KEY"),
        (PeerSettings(key=key), "ANTIPHON_PEERS__CERTIFICATE"),
    ):
        with pytest.raises(StartupError, match="without") as told:
            PeerTls(given)
        assert told.value.advice == f"Set {missing}, too."
    with pytest.raises(StartupError) as told:
        PeerTls(PeerSettings(ca=tmp_path / "nowhere.pem"))
    assert "ANTIPHON_PEERS__CA" in told.value.advice
