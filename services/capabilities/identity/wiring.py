"""Puts the verifier together from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from services.capabilities.identity.authenticator import TokenAuthenticator
from services.capabilities.identity.model import SERVICE_ISSUER
from services.capabilities.identity.ports import ApiKeyVerifier, KeySource, Revocations, TokenVerifier
from services.capabilities.identity.providers.foreign import (
    FixedKey,
    ForeignRules,
    ForeignTokens,
    public_pem,
    shared_secret,
)
from services.capabilities.identity.providers.keys import keys_by_address
from services.capabilities.identity.providers.own import OwnTokens
from services.capabilities.identity.providers.service import ServiceTokenVerifier
from services.capabilities.identity.signatures import KeyTooShort
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.settings import ForeignIssuer


@asynccontextmanager
async def build(
    foreign_issuers: Sequence[ForeignIssuer],
    *,
    issuer: str,
    audience: str,
    keys: KeySource,
    secret: DeploymentSecret,
    api_keys: ApiKeyVerifier,
    revocations: Revocations,
) -> AsyncIterator[TokenAuthenticator]:
    """The authenticator of a process. `issuer` and `audience` are those of own access tokens, `keys` those of Auth.

    Raises StartupError for a foreign issuer that could not be trusted safely.
    """
    verifiers: list[TokenVerifier] = [
        OwnTokens(keys, issuer=issuer, audience=audience),
        ServiceTokenVerifier(secret),
    ]
    if issuer in ("", SERVICE_ISSUER):
        raise StartupError(
            f"{issuer!r} can't be the issuer of access tokens.", "Choose another ANTIPHON_AUTH__ISSUER."
        )
    async with AsyncExitStack() as stack:
        for foreign in foreign_issuers:
            if foreign.issuer in (issuer, SERVICE_ISSUER):
                raise StartupError(
                    f"A foreign issuer is called {foreign.issuer!r}, as the suite's own is.",
                    "Rename the foreign issuer, or set another ANTIPHON_AUTH__ISSUER.",
                )
            verifiers.append(_foreign(foreign, stack))
        authenticator = TokenAuthenticator(verifiers, api_keys=api_keys, revocations=revocations)
        stack.push_async_callback(authenticator.aclose)
        yield authenticator


def _foreign(settings: ForeignIssuer, stack: AsyncExitStack) -> ForeignTokens:
    rules = ForeignRules(
        algorithms=frozenset(settings.algorithms),
        issuer=settings.issuer,
        audience=settings.audience,
        user_id_claim=settings.user_id_claim,
        token_type_claim=settings.token_type_claim,
        leeway=settings.leeway,
    )
    try:
        return ForeignTokens(rules, _key(settings, stack))
    except ValueError as error:
        name = settings.issuer or settings.jwks or "(any issuer)"
        too_short = "Use a longer shared key; a key that can't be changed yet needs `legacy` (ANTIPHON_IDENTITY__LEGACY=true)."
        raise StartupError(
            f"Tokens of the foreign issuer {name} can't be accepted: {error}.",
            too_short if isinstance(error, KeyTooShort) else "Correct its settings.",
        ) from error


def _key(settings: ForeignIssuer, stack: AsyncExitStack) -> FixedKey | KeySource:
    if settings.secret is not None:
        return shared_secret(settings.secret.get_secret_value(), settings.algorithms, legacy=settings.legacy)
    if settings.pem:
        return public_pem(settings.pem, settings.algorithms)
    keys = keys_by_address(settings.jwks)
    stack.push_async_callback(keys.aclose)
    return keys
