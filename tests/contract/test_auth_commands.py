"""What an operator does to Auth from the command line of the server, on PostgreSQL and with true hashes."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from services.auth.commands import reset_password
from services.auth.model.sessions import Verdict
from services.auth.providers.passwords import Argon2Passwords
from services.auth.stores.login_attempts import SqlLoginAttempts
from services.infra.postgres.database import Database
from services.kernel.errors import InvalidArgument, NotFound
from services.kernel.secret import DeploymentSecret
from services.settings import AuthSettings
from tests.fakes.auth_stores import GRACE, SOMEWHERE, digest, sql_stores, successor

SECRET = DeploymentSecret(b"the secret of a deployment that is only a test")


async def test_a_reset_sets_the_password_and_ends_sessions_and_delays(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=4) as database:
        stores = sql_stores(database)
        session = await stores.open("first")
        other = await stores.open("elsewhere", email="bob@example.com")
        attempts = SqlLoginAttempts(database, SECRET.derive("auth.login-attempts"), 1, 60)
        await attempts.failed("ana@example.com", "")
        assert await attempts.delay("ana@example.com", "") > 0

        password = (await reset_password(database, SECRET, AuthSettings(), "ANA@example.com")).password

        found = await stores.accounts.with_id(session.user_id)
        assert found is not None
        with closing(Argon2Passwords(workers=1, queue=1)) as passwords:
            assert (await passwords.check(found.password_hash, password)).correct
        assert await attempts.delay("ana@example.com", "") == 0
        for token, verdict in (("first", Verdict.REVOKED), ("elsewhere", Verdict.ROTATED)):
            result = await stores.sessions.refresh(digest(token), successor(f"{token}-x"), GRACE, SOMEWHERE)
            assert result is not None
            assert result.verdict is verdict
        assert ("user.reset_password", session.user_id) in await stores.trail()
        assert (await stores.rows("select address, actor_id from auth.audit_events order by id"))[-1] == (
            "command line",
            None,
        )
        assert other.user_id not in [subject for _, subject in await stores.revoked()]
        for secret in (password, found.password_hash):
            assert secret not in str(await stores.rows("select * from auth.audit_events"))


async def test_a_reset_keeps_to_the_deployments_rules(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=4) as database:
        stores = sql_stores(database)
        await stores.add()
        with pytest.raises(InvalidArgument, match="common"):
            await reset_password(database, SECRET, AuthSettings(), "ana@example.com", "password1")
        lenient = AuthSettings(refuse_common_passwords=False)
        given = await reset_password(database, SECRET, lenient, "ana@example.com", "password1")
        assert given.password == "password1"
        for nobody in ("nobody@example.com", "0198c5a2-0000-7000-8000-0000000000ff", "nobody"):
            with pytest.raises(NotFound):
                await reset_password(database, SECRET, lenient, nobody)


async def test_of_two_resets_at_once_the_later_one_counts(migrated_url: str) -> None:
    async with Database(migrated_url, min_size=1, max_size=4) as database:
        stores = sql_stores(database)
        ana = await stores.add()
        made = await asyncio.gather(
            *(reset_password(database, SECRET, AuthSettings(), "ana@example.com") for _ in range(2))
        )
        found = await stores.accounts.with_id(ana.user_id)
        assert found is not None
        with closing(Argon2Passwords(workers=1, queue=4)) as passwords:
            right = [(await passwords.check(found.password_hash, one.password)).correct for one in made]
        assert sorted(right) == [False, True]
