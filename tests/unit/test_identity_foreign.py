"""Issuers of other systems: what their tokens must say, and what of their settings is refused, with a reason."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.capabilities.identity.authenticator import TokenAuthenticator
from services.capabilities.identity.providers.foreign import (
    ForeignRules,
    ForeignTokens,
    public_pem,
    shared_secret,
)
from services.kernel.startup import StartupError
from services.settings import Settings
from tests.fakes.identity_tokens import DJANGO, bearer, over, pem_of, refusal


def site(**rules: Any) -> TokenAuthenticator:
    made = ForeignRules(frozenset(("HS256",)), user_id_claim="user_id", **rules)
    return over(ForeignTokens(made, shared_secret(DJANGO, ("HS256",))))


def token(**claims: Any) -> dict[str, str]:
    return bearer(jwt.encode({"user_id": 7, "exp": time.time() + 60, **claims}, DJANGO, algorithm="HS256"))


@pytest.mark.parametrize("claim", ["token_type", "kind"])
async def test_an_issuer_that_names_the_kind_of_its_tokens_has_to_name_it_in_each(claim: str) -> None:
    strict, usual = site(token_type_claim=claim), site()
    assert await strict.authenticate(token(**{claim: "access"})) is not None
    for value in (
        {},
        {claim: "refresh"},
        {claim: "Access"},
        {claim: ["access"]},
        {claim: None},
        {claim: True},
    ):
        assert (await refusal(strict, token(**value))).reason == "TOKEN_INVALID"
    assert await usual.authenticate(token()) is not None
    assert (await refusal(usual, token(token_type="refresh"))).reason == "TOKEN_INVALID"


async def test_the_clock_of_an_issuer_may_be_off_by_its_leeway() -> None:
    for leeway, expected in ((0.0, False), (60.0, True)):
        late = token(exp=time.time() - 30)
        if expected:
            assert await site(leeway=leeway).authenticate(late) is not None
        else:
            assert (await refusal(site(leeway=leeway), late)).reason == "TOKEN_EXPIRED"


def test_a_public_key_may_be_in_a_file(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "partner.pem"
    file.write_text(pem_of(key))
    read = public_pem(str(file), ("RS256",)).key
    assert read.public_numbers() == public_pem(pem_of(key), ("RS256",)).key.public_numbers()
    with pytest.raises(ValueError, match="no file"):
        public_pem(str(tmp_path / "absent.pem"), ("RS256",))
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="private key"):
        public_pem(str(file), ("RS256",))


GOOD = {"issuer": "x", "algorithms": ["RS256"], "jwks": "https://x.example/keys"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({**GOOD, "algorithm": "RS256"}, "no field 'algorithm'"),
        ({**GOOD, "algorithms": []}, "at least one of"),
        ({**GOOD, "algorithms": "RS256"}, "array"),
        ({**GOOD, "algorithms": ["none"]}, "at least one of"),
        ({**GOOD, "algorithms": ["RS256", "HS256"]}, "HS algorithms"),
        ({**GOOD, "secret": "very secret"}, "exactly one"),
        ({**GOOD, "leeway": -1}, "leeway"),
        ({**GOOD, "leeway": 4000}, "leeway"),
        ({**GOOD, "leeway": float("nan")}, "leeway"),
        ({**GOOD, "leeway": True}, "leeway"),
        ({**GOOD, "legacy": "yes"}, "legacy"),
        ({**GOOD, "legacy": True}, "legacy"),
        ({**GOOD, "audience": ["us"]}, "audience"),
        ({**GOOD, "user_id_claim": ""}, "user_id_claim"),
        (["x"], "object"),
    ],
)
def test_what_is_wrong_with_an_issuer_is_said_at_the_start(tmp_path: Path, entry: object, says: str) -> None:
    with pytest.raises(StartupError, match=says) as stopped:
        Settings.load({"ANTIPHON_IDENTITY__ISSUERS": json.dumps([entry])}, cwd=tmp_path)
    assert "ANTIPHON_IDENTITY__ISSUERS" in stopped.value.message
    assert "very secret" not in stopped.value.message


def test_everything_that_an_issuer_can_have_is_read(tmp_path: Path) -> None:
    entry = {**GOOD, "audience": "us", "user_id_claim": "uid", "token_type_claim": "token_type", "leeway": 30}
    (issuer,) = Settings.load(
        {"ANTIPHON_IDENTITY__ISSUERS": json.dumps([entry])}, cwd=tmp_path
    ).identity.foreign_issuers
    assert (issuer.audience, issuer.user_id_claim, issuer.token_type_claim) == ("us", "uid", "token_type")
    assert issuer.leeway == 30.0
    environ = {"JWT_SECRET_KEY": "k" * 32, "ANTIPHON_IDENTITY__TOKEN_TYPE_CLAIM": "token_type"}
    (shared,) = Settings.load(environ, cwd=tmp_path).identity.foreign_issuers
    assert (shared.user_id_claim, shared.token_type_claim) == ("user_id", "token_type")
    with pytest.raises(StartupError, match="LEEWAY"):
        Settings.load({**environ, "ANTIPHON_IDENTITY__LEEWAY": "2h"}, cwd=tmp_path)
