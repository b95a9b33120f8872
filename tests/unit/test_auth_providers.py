"""Passwords, refresh tokens and key files."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.errors import PasswordsOverloaded, RefreshTokenInvalid
from services.auth.providers.passwords import Argon2Passwords
from services.auth.providers.refresh_tokens import OpaqueRefreshTokens

tokens = OpaqueRefreshTokens()


async def test_a_password_is_checked_against_its_hash_alone() -> None:
    passwords = Argon2Passwords(workers=1, queue=4)
    try:
        made = await passwords.hash("contraseña")
        assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert len(made) <= 255
        assert made != await passwords.hash("contraseña")
        assert (await passwords.check(made, "contraseña")).correct
        assert not (await passwords.check(made, "Contraseña")).correct
        assert not (await passwords.check(None, "contraseña")).correct
        assert not (await passwords.check("no hash", "contraseña")).correct
    finally:
        passwords.close()


async def test_a_hash_of_other_settings_is_right_and_outdated() -> None:
    old, new = (
        Argon2Passwords(workers=1, queue=4, memory_kib=1024, passes=1),
        Argon2Passwords(workers=1, queue=4),
    )
    try:
        made = await old.hash("password")
        assert (await new.check(made, "password")).outdated
        assert not (await old.check(made, "password")).outdated
    finally:
        old.close()
        new.close()


async def test_a_full_queue_refuses_at_once_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Argon2Passwords(workers=1, queue=2, memory_kib=1024, passes=1)
    go, started = threading.Event(), threading.Event()

    def held() -> None:
        started.set()
        go.wait(10)

    try:
        running = asyncio.ensure_future(passwords._run(held))
        await asyncio.to_thread(started.wait, 10)
        waiting = [asyncio.ensure_future(passwords._run(lambda: None)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(PasswordsOverloaded) as full:
            await passwords.hash("password")
        assert full.value.metadata == {"queue": "passwords"}
        assert full.value.retry_after
        # Who goes away while waiting gives the place to the next one; who goes away while it is worked on does not.
        waiting[0].cancel()
        running.cancel()
        await asyncio.gather(waiting[0], running, return_exceptions=True)
        hashing = asyncio.ensure_future(passwords.hash("password"))
        await asyncio.sleep(0)
        with pytest.raises(PasswordsOverloaded):
            await passwords.hash("password")
        go.set()
        assert (await hashing).startswith("$argon2id$")
        await waiting[1]
        assert (await passwords.check(await hashing, "password")).correct
    finally:
        go.set()
        passwords.close()


@given(st.binary(min_size=0, max_size=8))
def test_what_is_sealed_for_a_token_opens_with_that_token_alone(flip: bytes) -> None:
    presented, successor, other = tokens.make(), tokens.make(), tokens.make()
    sealed = tokens.seal(successor, presented)
    assert tokens.unseal(sealed, presented) == successor
    assert successor.encode() not in sealed
    assert sealed != tokens.seal(successor, presented)
    damaged = bytes(a ^ b for a, b in zip(sealed, flip.ljust(len(sealed), b"\0"), strict=False))
    for wrong, token in ((sealed, other), (damaged, presented), (b"", presented)):
        if wrong == sealed and token == presented:
            continue
        with pytest.raises(RefreshTokenInvalid):
            tokens.unseal(wrong, token)


@given(st.text())
def test_only_refresh_tokens_have_a_digest(text: str) -> None:
    with pytest.raises(RefreshTokenInvalid):
        tokens.digest(text)
    assert len(tokens.digest(tokens.make())) == 32
