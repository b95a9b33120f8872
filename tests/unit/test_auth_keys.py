"""Signing keys: from the database, and from files."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Mapping
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

from services.auth.model.accounts import Role
from services.auth.model.signing_keys import KeyState, Rotation
from services.auth.providers import keys
from services.auth.providers.access_tokens import SignedAccessTokens
from services.auth.providers.key_rings import FileKeyRing, StoredKeyRing
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.rotate_signing_keys import RotateSigningKeys
from services.capabilities.identity.propagation import RING_SECONDS
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError
from tests.fakes.auth_memory_signing_keys import KeyTable, MemorySigningKeys

SEALING = b"s" * 32


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


def public_pem(*made: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return b"".join(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in made
    )


async def test_the_next_key_of_an_operator_is_published_before_it_signs(
    private: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    following = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "key.pub"
    file.write_bytes(b"the next one:\n" + public_pem(following) + b"this one:\n" + public_pem(private))
    expected = {keys.describe(key.public_key()).kid for key in (private, following)}
    for signs in (private, following):
        ring = FileKeyRing(signs, keys.read_public_file(file, signs))
        assert {key.kid for key in await ring.published()} == expected
        assert (await ring.signing_key())[0] == keys.describe(signs.public_key()).kid


def test_a_public_key_file_has_to_hold_that_of_the_private_one(
    private: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "key.pub"
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    file.write_bytes(public_pem(private))
    (read,) = keys.read_public_file(file, private)
    assert read.public_numbers() == private.public_key().public_numbers()
    unusable = [
        (public_pem(stranger), "belongs"),
        (b"no key", "PEM"),
        (b"", "PEM"),
        (public_pem(private).replace(b"M", b"!", 3), "PEM"),
        (public_pem(private) + public_pem(ec.generate_private_key(ec.SECP256R1())), "RSA"),
        (public_pem(private, weak), "2048"),
        (public_pem(private) + pem(private), "private key"),
    ]
    for content, says in unusable:
        file.write_bytes(content)
        with pytest.raises(StartupError, match=says):
            keys.read_public_file(file, private)


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
    store = MemorySigningKeys()
    ring = StoredKeyRing(store, SEALING)
    await ring.start()
    tokens = SignedAccessTokens(ring, issuer="antiphon", audience="us", lifetime=timedelta(minutes=15))
    token = await tokens.sign("u", "s", Role.ADMIN, 7)
    header = jwt.get_unverified_header(token.text)
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    published = await GetJwks(ring)()
    stored = await store.all()
    assert [key.kid for key in stored] == [key.kid for key in published]
    assert [key.state for key in stored] == [KeyState.ACTIVE, KeyState.NEXT]
    (active,) = [key for key in published if key.kid == header["kid"]]
    payload = jwt.decode(
        token.text, jwt.PyJWK(active.as_jwk()), algorithms=["RS256"], audience="us", issuer="antiphon"
    )
    assert (payload["sub"], payload["sid"], payload["role"], payload["rev"]) == ("u", "s", "admin", 7)
    assert payload["exp"] - payload["iat"] == 900
    assert payload["exp"] == token.expire_time.timestamp()
    assert uuid.UUID(payload["jti"]).version == 7


async def test_replicas_sign_with_the_same_key_and_another_secret_stops_the_start() -> None:
    table = KeyTable()
    one, other = (StoredKeyRing(MemorySigningKeys(table), SEALING) for _ in range(2))
    await one.start()
    await other.start()
    assert (await one.signing_key())[0] == (await other.signing_key())[0]
    assert all(b"PRIVATE" not in row.key.sealed_private for row in table.rows.values())
    with pytest.raises(StartupError, match="secret"):
        await StoredKeyRing(MemorySigningKeys(table), b"x" * 32).start()


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_ring_notices_a_rotation_within_its_second_and_reads_only_what_changed() -> None:
    table, watch = KeyTable(), Watch()
    store = MemorySigningKeys(table)
    ring = StoredKeyRing(store, SEALING, clock=watch)
    assert await ring.check() is not None
    await ring.start()
    assert await ring.check() is None
    first, _ = await ring.signing_key()
    for _ in range(5):
        watch.now += RING_SECONDS
        await ring.signing_key()
    assert table.loads == 1
    rotation = await store.rotate(await keys.SealedKeys(SEALING).make(KeyState.NEXT), timedelta())
    assert isinstance(rotation, Rotation)
    watch.now += RING_SECONDS * 0.9
    assert (await ring.signing_key())[0] == first
    watch.now += RING_SECONDS * 0.1
    assert (await ring.signing_key())[0] == rotation.active
    assert {key.kid for key in await ring.published()} == {first, rotation.active, rotation.following}
    assert table.loads == 2


async def test_while_its_store_is_away_a_ring_signs_and_does_not_publish_what_may_be_old() -> None:
    table, watch = KeyTable(), Watch()
    ring = StoredKeyRing(MemorySigningKeys(table), SEALING, clock=watch)
    await ring.start()
    first, _ = await ring.signing_key()
    table.away = True
    watch.now += RING_SECONDS * 0.9
    assert await ring.published()
    watch.now += RING_SECONDS * 0.1
    assert (await ring.signing_key())[0] == first
    with pytest.raises(Unavailable):
        await ring.published()
    table.away = False
    watch.now += RING_SECONDS
    assert await ring.published()


async def test_a_caller_who_goes_away_leaves_the_look_at_the_keys_to_the_next() -> None:
    table, watch = KeyTable(), Watch()
    store, held = MemorySigningKeys(table), asyncio.Event()
    ring = StoredKeyRing(store, SEALING, clock=watch)
    await ring.start()
    watch.now += RING_SECONDS
    states = store.states

    async def hangs() -> Mapping[str, KeyState]:
        await held.wait()
        return await states()

    store.states = hangs  # type: ignore[method-assign]
    asking = asyncio.create_task(ring.signing_key())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    held.set()
    assert len(await ring.published()) == 2


async def test_a_rotation_waits_until_every_process_knows_the_next_key() -> None:
    store = MemorySigningKeys()
    waits: list[float] = []
    ring = StoredKeyRing(store, SEALING)
    maker = keys.SealedKeys(SEALING)
    rotate = RotateSigningKeys(store, maker, minimum_age=timedelta(seconds=0.2))
    with pytest.raises(StartupError, match="no signing keys yet"):
        await rotate(leaked=False, waits=waits.append)
    await ring.start()
    (following,) = store.table.in_state(KeyState.NEXT)
    assert (await rotate(leaked=False, waits=waits.append)).active == following
    published = [row.record.publish_time for row in store.table.rows.values()]
    await rotate(leaked=True, waits=waits.append)
    assert len(published) == 3
    assert len(waits) == 1
    assert 0 < waits[0] <= 0.2


async def test_a_rotation_with_another_secret_changes_nothing() -> None:
    store = MemorySigningKeys()
    await StoredKeyRing(store, SEALING).start()
    before = await store.states()
    rotate = RotateSigningKeys(store, keys.SealedKeys(b"x" * 32), minimum_age=timedelta())
    for leaked in (False, True):
        with pytest.raises(StartupError, match="secret"):
            await rotate(leaked=leaked, waits=lambda _: pytest.fail("it waits"))
    assert await store.states() == before
