"""Signing keys: from the database, and from files."""

from __future__ import annotations

import base64
import uuid
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from services.auth.model import KeyState, Role
from services.auth.providers import keys
from services.auth.providers.access_tokens import SignedAccessTokens
from services.auth.providers.key_rings import FileKeyRing, StoredKeyRing
from services.auth.usecases.get_jwks import GetJwks
from services.kernel.startup import StartupError
from tests.fakes.auth_memory import Memory, MemorySigningKeys


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: str = "") -> bytes:
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


async def test_a_key_file_signs_and_is_published(private: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    file = tmp_path / "jwt-private.key"
    file.write_bytes(pem(private, "changeme"))
    read = keys.read_private_file(file, "changeme")
    ring = FileKeyRing(read)
    (published,) = await ring.published()
    assert published == keys.describe(private.public_key())
    assert (await ring.signing_key())[0] == published.kid
    file.write_bytes(pem(private))
    assert keys.read_private_file(file, "a passphrase too many").key_size == 2048


def test_key_files_that_cannot_be_used_stop_the_start(private: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    with pytest.raises(StartupError, match="can't be read"):
        keys.read_private_file(file, None)
    unusable = [
        (b"no key", None, "no private key"),
        (pem(private, "changeme"), None, "encrypted"),
        (pem(private, "changeme"), "wrong", "passphrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), None, "RSA"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), None, "2048"),
    ]
    for content, passphrase, says in unusable:
        file.write_bytes(content)
        with pytest.raises(StartupError, match=says):
            keys.read_private_file(file, passphrase)


def test_a_public_key_file_has_to_belong_to_the_private_one(
    private: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "key.pub"
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def write(key: rsa.RSAPrivateKey) -> None:
        file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    write(private)
    keys.check_public_file(file, private)
    write(stranger)
    with pytest.raises(StartupError, match="does not belong"):
        keys.check_public_file(file, private)
    file.write_bytes(b"no key")
    with pytest.raises(StartupError, match="PEM"):
        keys.check_public_file(file, private)


def test_a_key_is_named_by_its_thumbprint() -> None:
    # The key and the thumbprint of RFC 7638, section 3.1.
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr"
        "n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    modulus = int.from_bytes(base64.urlsafe_b64decode(n + "=="))
    described = keys.describe(rsa.RSAPublicNumbers(65537, modulus).public_key())
    assert (described.n, described.e) == (n, "AQAB")
    assert described.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


async def test_access_tokens_are_signed_with_the_active_key_and_both_keys_are_published() -> None:
    memory = Memory()
    ring = StoredKeyRing(MemorySigningKeys(memory), b"s" * 32)
    await ring.start()
    tokens = SignedAccessTokens(ring, issuer="antiphon", audience="us", lifetime=timedelta(minutes=15))
    token = await tokens.sign("u", "s", Role.ADMIN)
    header = jwt.get_unverified_header(token.text)
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    published = await GetJwks(ring)()
    assert [key.kid for key in memory.keys] == [key.kid for key in published]
    assert [key.state for key in memory.keys] == [KeyState.ACTIVE, KeyState.NEXT]
    (active,) = [key for key in published if key.kid == header["kid"]]
    payload = jwt.decode(
        token.text, jwt.PyJWK(active.as_jwk()), algorithms=["RS256"], audience="us", issuer="antiphon"
    )
    assert (payload["sub"], payload["sid"], payload["role"]) == ("u", "s", "admin")
    assert payload["exp"] - payload["iat"] == 900
    assert payload["exp"] == token.expire_time.timestamp()
    assert uuid.UUID(payload["jti"]).version == 7


async def test_replicas_sign_with_the_same_key_and_another_secret_stops_the_start() -> None:
    memory = Memory()
    one, other = (StoredKeyRing(MemorySigningKeys(memory), b"s" * 32) for _ in range(2))
    await one.start()
    await other.start()
    assert (await one.signing_key())[0] == (await other.signing_key())[0]
    assert b"PRIVATE" not in memory.keys[0].sealed_private
    with pytest.raises(StartupError, match="secret"):
        await StoredKeyRing(MemorySigningKeys(memory), b"x" * 32).start()


async def test_a_ring_notices_a_rotation_and_survives_a_store_that_fails() -> None:
    memory, now = Memory(), 0.0
    store = MemorySigningKeys(memory)
    ring = StoredKeyRing(store, b"s" * 32, clock=lambda: now)
    assert await ring.check() is not None
    await ring.start()
    assert await ring.check() is None
    active, following = memory.keys
    assert (await ring.signing_key())[0] == active.kid
    keys, memory.keys = memory.keys, []
    now = 61.0
    assert (await ring.signing_key())[0] == active.kid
    memory.keys = [
        type(active)(active.kid, KeyState.RETIRED, active.sealed_private, active.public_pem),
        type(following)(following.kid, KeyState.ACTIVE, following.sealed_private, following.public_pem),
    ]
    now = 63.0
    assert (await ring.signing_key())[0] == following.kid
    assert {key.kid for key in await ring.published()} == {key.kid for key in keys}
