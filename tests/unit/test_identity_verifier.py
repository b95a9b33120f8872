"""Whose tokens are believed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.capabilities.identity.errors import KeysUnavailable
from services.capabilities.identity.model import Proof, foreign_user_id
from services.capabilities.identity.providers.foreign import (
    ForeignRules,
    ForeignTokens,
    public_pem,
    shared_secret,
)
from services.capabilities.identity.providers.own import OwnTokens
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.principal import Kind
from tests.fakes.identity_tokens import (
    DJANGO,
    SECRET,
    SESSION_ID,
    USER_ID,
    Keys,
    authenticator,
    bearer,
    claims,
    over,
    own_token,
    pem_of,
    refusal,
)
from tests.fakes.no_auth import NothingRevoked


@pytest.fixture(scope="module")
def private() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def stranger() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("role", "kind"), [("user", Kind.USER), ("admin", Kind.ADMIN), ("service", Kind.USER)]
)
async def test_an_own_token_tells_person_session_and_role(
    private: RSAPrivateKey, role: str, kind: Kind
) -> None:
    principal = await authenticator(private).authenticate(bearer(own_token(private, role=role)))
    assert principal is not None
    assert (principal.kind, principal.user_id, principal.session_id) == (kind, USER_ID, SESSION_ID)
    assert principal.scopes is None
    assert principal.service == ""


async def test_no_credential_is_nobody(private: RSAPrivateKey) -> None:
    assert await authenticator(private).authenticate({}) is None


async def test_an_expired_token_is_told_to_be_refreshed_but_only_if_it_was_good(
    private: RSAPrivateKey, stranger: RSAPrivateKey
) -> None:
    subject = authenticator(private)
    past = int(time.time()) - 1
    good = await refusal(subject, bearer(own_token(private, iat=past - 900, exp=past)))
    assert good.reason == "TOKEN_EXPIRED"
    forged = await refusal(subject, bearer(own_token(stranger, iat=past - 900, exp=past)))
    assert forged.reason == "TOKEN_INVALID"


async def test_a_token_that_was_seen_is_refused_once_it_expires(private: RSAPrivateKey) -> None:
    now = time.time()
    subject = authenticator(private, clock=lambda: now)
    token = bearer(own_token(private, iat=int(now), exp=int(now) + 60))
    assert await subject.authenticate(token) is not None
    now += 59
    assert await subject.authenticate(token) is not None
    now += 1
    assert (await refusal(subject, token)).reason == "TOKEN_EXPIRED"


async def test_a_token_is_verified_once(private: RSAPrivateKey) -> None:
    subject = authenticator(private)
    token = bearer(own_token(private))
    first = await subject.authenticate(token)
    assert await subject.authenticate(token) is first


async def test_a_token_is_believed_while_its_key_is_published_and_no_longer(private: RSAPrivateKey) -> None:
    now = time.time()
    keys = Keys(private)
    subject = over(OwnTokens(keys, issuer="antiphon", audience="antiphon"), clock=lambda: now)
    token = bearer(own_token(private, iat=int(now), exp=int(now) + 60))
    first = await subject.authenticate(token)
    now += 30
    # The same object: its signature was not checked again, only its key looked at.
    assert await subject.authenticate(token) is first
    # Whichever way the clock of the machine was set meanwhile.
    now -= 300
    keys.dropped = True
    assert (await refusal(subject, token)).reason == "TOKEN_INVALID"


async def test_a_foreign_token_is_believed_while_the_very_same_key_is_published(
    private: RSAPrivateKey, stranger: RSAPrivateKey
) -> None:
    keys = Keys(private)
    rules = ForeignRules(frozenset(("RS256",)), issuer="https://partner.example")
    subject = over(ForeignTokens(rules, keys))
    payload = claims(iss="https://partner.example")
    token = bearer(jwt.encode(payload, private, algorithm="RS256", headers={"kid": "k1"}))
    first = await subject.authenticate(token)
    assert await subject.authenticate(token) is first
    # An issuer may use an id again for another key.
    keys.key = stranger.public_key()
    assert (await refusal(subject, token)).reason == "TOKEN_INVALID"
    keys.key = private.public_key()
    assert await subject.authenticate(token) == first
    keys.dropped = True
    assert (await refusal(subject, token)).reason == "TOKEN_INVALID"


async def test_tokens_are_unavailable_while_their_keys_can_not_be_told(private: RSAPrivateKey) -> None:
    keys = Keys(private)
    subject = over(OwnTokens(keys, issuer="antiphon", audience="antiphon"))
    token = bearer(own_token(private))
    first = await subject.authenticate(token)
    keys.away = True
    with pytest.raises(KeysUnavailable):
        await subject.authenticate(token)
    keys.away = False
    assert await subject.authenticate(token) == first


@pytest.mark.parametrize("away_first", [True, False])
async def test_an_issuer_whose_keys_can_not_be_fetched_stands_in_nobody_elses_way(
    private: RSAPrivateKey, stranger: RSAPrivateKey, away_first: bool
) -> None:
    away, here = Keys(stranger), Keys(private)
    away.away = True
    rules = ForeignRules(frozenset(("RS256",)))
    issuers = [ForeignTokens(rules, away), ForeignTokens(rules, here)]
    subject = over(*(issuers if away_first else reversed(issuers)))

    def signed(key: RSAPrivateKey) -> dict[str, str]:
        return bearer(jwt.encode(claims(iss=None), key, algorithm="RS256", headers={"kid": "k1"}))

    assert await subject.authenticate(signed(private)) is not None
    # It may be a good one of the issuer that can't be asked.
    with pytest.raises(KeysUnavailable):
        await subject.authenticate(signed(stranger))
    away.away = False
    assert await subject.authenticate(signed(stranger)) is not None


async def test_what_is_remembered_is_bounded_and_holds_no_token(private: RSAPrivateKey) -> None:
    subject = authenticator(private, remembered=3)
    tokens = [own_token(private) for _ in range(6)]
    for token in tokens:
        await subject.authenticate(bearer(token))
    for garbage in range(50):
        await refusal(subject, bearer(f"a.b.{garbage}"))
    remembered = list(subject._proofs)
    assert len(remembered) == 3
    assert {len(digest) for digest in remembered} == {32}


async def test_a_django_token_becomes_a_stable_user(private: RSAPrivateKey) -> None:
    payload = {"user_id": 42, "exp": time.time() + 60, "token_type": "access", "jti": "x"}
    principal = await authenticator(private).authenticate(
        bearer(jwt.encode(payload, DJANGO, algorithm="HS256"))
    )
    assert principal is not None
    assert principal.kind is Kind.USER
    assert principal.user_id == foreign_user_id("", "42")
    assert uuid.UUID(principal.user_id).version == 5


async def test_a_partners_token_cannot_make_an_administrator(private: RSAPrivateKey) -> None:
    payload = claims(iss="https://partner.example", aud=["us", "them"], role="admin")
    principal = await authenticator(private).authenticate(
        bearer(jwt.encode(payload, private, algorithm="RS256"))
    )
    assert principal is not None
    assert (principal.kind, principal.session_id) == (Kind.USER, "")
    assert principal.user_id == foreign_user_id("https://partner.example", USER_ID) != USER_ID


async def test_a_service_may_act_for_a_person_and_nobody_else_may(private: RSAPrivateKey) -> None:
    subject, tokens = authenticator(private), ServiceTokens(SECRET, "chat")
    person = str(uuid.uuid4())
    alone = await subject.authenticate(dict(tokens.metadata()))
    behalf = await subject.authenticate(dict(tokens.metadata(person.upper())))
    assert alone is not None
    assert behalf is not None
    assert (alone.kind, alone.service, alone.user_id) == (Kind.SERVICE, "chat", "")
    assert (behalf.kind, behalf.service, behalf.user_id) == (Kind.SERVICE, "chat", person)
    assert (await refusal(subject, dict(tokens.metadata("nobody")))).reason == "TOKEN_INVALID"
    impostor = {**bearer(own_token(private, role="admin")), "x-on-behalf-of": person}
    assert (await refusal(subject, impostor)).reason == "TOKEN_INVALID"


async def test_a_service_token_lives_a_minute_and_is_used_again_meanwhile(private: RSAPrivateKey) -> None:
    now = time.time()
    tokens = ServiceTokens(SECRET, "chat", clock=lambda: now)
    subject = authenticator(private, clock=lambda: now)
    first = tokens.token()
    now += 29
    assert tokens.token() == first
    now += 2
    second = tokens.token()
    assert second != first
    now += 40
    assert (await refusal(subject, bearer(first))).reason == "TOKEN_EXPIRED"
    assert await subject.authenticate(bearer(second)) is not None


async def test_a_revoked_session_is_refused_though_its_token_was_seen(private: RSAPrivateKey) -> None:
    ended: set[str] = set()

    class Revoked:
        def is_deleted(self, user_id: str) -> bool:
            return False

        def is_revoked(self, proof: Proof) -> bool:
            return proof.principal.session_id in ended

    subject = authenticator(private, revocations=Revoked())
    token = bearer(own_token(private))
    assert await subject.authenticate(token) is not None
    ended.add(SESSION_ID)
    assert (await refusal(subject, token)).reason == "TOKEN_REVOKED"


async def test_no_service_acts_for_somebody_who_was_deleted(private: RSAPrivateKey) -> None:
    gone = str(uuid.uuid4())

    class Deleted(NothingRevoked):
        def is_deleted(self, user_id: str) -> bool:
            return user_id == gone

    subject = authenticator(private, revocations=Deleted())
    tokens = ServiceTokens(SECRET, "gateway")
    assert await subject.authenticate(dict(tokens.metadata(str(uuid.uuid4())))) is not None
    assert (await refusal(subject, dict(tokens.metadata(gone.upper())))).reason == "TOKEN_REVOKED"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: shared_secret("short", ("HS256",)), "bytes"),
        (lambda: shared_secret("", ("HS256",), legacy=True), "suit"),
        (lambda: shared_secret("s" * 40, ("none",)), "algorithms"),
        (lambda: shared_secret("s" * 40, ("HS256", "RS256")), "never go together"),
        (lambda: public_pem("no key", ("RS256",)), "PEM"),
    ],
)
def test_a_key_that_is_not_safe_is_refused_at_the_start(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_public_key_is_no_shared_secret_and_a_short_one_is_none(private: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="suit"):
        shared_secret(pem_of(private), ("HS256",))
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(ValueError, match="bits"):
        public_pem(pem_of(weak), ("RS256",))
    assert shared_secret("short", ("HS256",), legacy=True).key == b"short"
    secret_half = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="public key"):
        public_pem(secret_half, ("RS256",))
