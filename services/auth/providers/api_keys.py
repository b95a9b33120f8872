"""API keys: how they are made and read, and how Auth believes its own."""

from __future__ import annotations

import hashlib
import secrets
import string

from services.auth.model.api_keys import KeyMaterial
from services.auth.ports.api_keys import ApiKeys, KeyMaker
from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.model import API_KEY_FORM, API_KEY_PREFIX, CALLER_KINDS
from services.kernel.principal import Principal

# Base32 (RFC 4648 §6) in lower case: no letter of it is mistaken for a digit. 16 of them are 80 bits.
_PUBLIC_ALPHABET = string.ascii_lowercase + "234567"
_PUBLIC_CHARACTERS = 16
# 43 characters of 62 are 256 bits. None of them is a `_` or `-`, so a double click selects a key whole.
_SECRET_ALPHABET = string.ascii_letters + string.digits
_SECRET_CHARACTERS = 43

# Whoever has an old secret may be the one whom it was rotated away from, and is not to rotate the key back or make another one.
_NOT_WITH_OLD_SECRETS = frozenset({"keys.write"})


class OpaqueApiKeys:
    """`ports.KeyMaker`. 256 random bits need no slow hash: SHA-256 of the whole key stands for it."""

    def make(self, public_id: str = "") -> KeyMaterial:
        """See `ports.KeyMaker`."""
        public_id = public_id or _random(_PUBLIC_ALPHABET, _PUBLIC_CHARACTERS)
        text = f"{API_KEY_PREFIX}{public_id}_{_random(_SECRET_ALPHABET, _SECRET_CHARACTERS)}"
        return KeyMaterial(text, public_id, _digest(text))

    def read(self, text: str) -> KeyMaterial | None:
        """See `ports.KeyMaker`."""
        # The pattern has one length only, and stops at the first character that does not fit.
        parts = API_KEY_FORM.fullmatch(text)
        return None if parts is None else KeyMaterial(text, parts[1], _digest(text))


class OwnApiKeys:
    """The identity capability's ApiKeyVerifier in Auth's own process: asks the store, each time."""

    def __init__(self, keys: ApiKeys, maker: KeyMaker) -> None:
        self._keys = keys
        self._maker = maker

    async def verify(self, key: str) -> Principal:
        """See `services.capabilities.identity.ports.ApiKeyVerifier`."""
        shown = self._maker.read(key)
        if shown is None:
            raise ApiKeyInvalid
        owner = await self._keys.owner(shown.public_id, shown.digest)
        if owner is None:
            raise ApiKeyInvalid
        return Principal(
            CALLER_KINDS[owner.role.value],
            user_id=owner.user_id,
            api_key_id=owner.api_key_id,
            scopes=owner.scopes - _NOT_WITH_OLD_SECRETS if owner.is_old else owner.scopes,
            expire_time=owner.expire_time.timestamp() if owner.expire_time else 0.0,
        )


def _random(alphabet: str, characters: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(characters))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
