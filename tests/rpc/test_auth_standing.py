"""Whoever has just lost access can't use the moment until every process knows of it to give it to themselves again."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from antiphon.auth.v1 import api_key_pb2, auth_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from services.auth.stores.revocations import SqlRevocations
from services.capabilities.identity.revocations import RevocationKind
from services.infra.postgres.database import Database
from tests.fakes.served_suite import ADMIN_EMAIL, Metadata, Serve, Served, bearer, failure

pytestmark = pytest.mark.long

PASSWORD = "correct horse battery staple"


class Lost:
    """A person who is an administrator, and about to lose something; `here` hears of it later than `there`."""

    def __init__(self, here: Served, there: Served, admin: Metadata) -> None:
        self.here, self.there, self.admin = here, there, admin
        self.email = f"{uuid.uuid4()}@example.com"
        self.user_id = ""
        self.login = auth_pb2.LoginResponse()

    async def arrive(self) -> Lost:
        made = await self.there.auth.CreateUser(
            auth_pb2.CreateUserRequest(email=self.email, password=PASSWORD, role=auth_pb2.ROLE_ADMIN),
            metadata=self.admin,
        )
        self.user_id = made.user.user_id
        self.login = await self.here.auth.Login(auth_pb2.LoginRequest(email=self.email, password=PASSWORD))
        return self

    @property
    def token(self) -> Metadata:
        return bearer(self.login.access_token)

    def update(self, user: auth_pb2.User, *paths: str) -> auth_pb2.UpdateUserRequest:
        user.user_id = self.user_id
        return auth_pb2.UpdateUserRequest(user=user, update_mask=FieldMask(paths=paths))

    # What is taken away, elsewhere.

    async def demoted(self) -> None:
        await self.there.auth.UpdateUser(
            self.update(auth_pb2.User(role=auth_pb2.ROLE_USER), "role"), metadata=self.admin
        )

    async def disabled(self) -> None:
        await self.there.auth.UpdateUser(
            self.update(auth_pb2.User(disabled=True), "disabled"), metadata=self.admin
        )

    async def logged_out(self) -> None:
        await self.there.auth.Logout(auth_pb2.LogoutRequest(refresh_token=self.login.refresh_token))

    # What would outlast the moment, here.

    def restores_itself(self) -> Any:
        user = auth_pb2.User(role=auth_pb2.ROLE_ADMIN, disabled=False, display_name="still here")
        request = self.update(user, "role", "disabled", "display_name")
        return self.here.auth.UpdateUser(request, metadata=self.token)

    def makes_an_administrator(self) -> Any:
        request = auth_pb2.CreateUserRequest(
            email=f"puppet-{self.email}", password=PASSWORD, role=auth_pb2.ROLE_ADMIN
        )
        return self.here.auth.CreateUser(request, metadata=self.token)

    def makes_a_key(self) -> Any:
        request = api_key_pb2.CreateApiKeyRequest(display_name="for later", scopes=["chat.read"])
        return self.here.api_keys.CreateApiKey(request, metadata=self.token)

    def changes_the_password(self) -> Any:
        request = auth_pb2.ChangePasswordRequest(
            current_password=PASSWORD, new_password="another good passphrase"
        )
        return self.here.auth.ChangePassword(request, metadata=self.token)


Take = Callable[[Lost], Awaitable[None]]
Grab = Callable[[Lost], Any]


async def test_what_was_taken_back_is_not_taken_again_meanwhile(serve: Serve) -> None:
    takes: list[Take] = [Lost.demoted, Lost.disabled, Lost.logged_out]
    grabs: list[Grab] = [
        Lost.restores_itself,
        Lost.makes_an_administrator,
        Lost.makes_a_key,
        Lost.changes_the_password,
    ]
    async with serve() as here, serve() as there:
        admin = await here.administrator()
        before = await there.rows("select count(*) from auth.users where role = 'admin' and not disabled")
        for take in takes:
            for grab in grabs:
                if take is Lost.demoted and grab is Lost.changes_the_password:
                    continue  # Whoever is demoted is still who they were.
                person = await Lost(here, there, admin).arrive()
                await take(person)
                assert (await failure(grab(person))).what[0] in ("UNAUTHENTICATED", "PERMISSION_DENIED"), (
                    take,
                    grab,
                )
                await there.auth.DeleteUser(
                    auth_pb2.DeleteUserRequest(user_id=person.user_id), metadata=admin
                )
        assert await there.rows("select count(*) from auth.api_keys") == [(0,)]
        assert (
            await there.rows("select count(*) from auth.users where role = 'admin' and not disabled")
            == before
        )


async def test_a_secret_that_was_rotated_away_does_not_take_the_key_over(serve: Serve) -> None:
    async with serve() as here, serve() as there:
        owner = bearer(
            (
                await here.auth.Login(auth_pb2.LoginRequest(email=ADMIN_EMAIL, password=here.admin_password))
            ).access_token
        )
        for _ in range(3):
            request = api_key_pb2.CreateApiKeyRequest(display_name="x", scopes=["keys.read", "keys.write"])
            made = await there.api_keys.CreateApiKey(request, metadata=owner)
            key_id, stolen = made.api_key.api_key_id, bearer(made.secret)
            rotate = api_key_pb2.RotateApiKeyRequest(api_key_id=key_id)
            await here.api_keys.ListApiKeys(api_key_pb2.ListApiKeysRequest(), metadata=stolen)
            await there.api_keys.RotateApiKey(rotate, metadata=owner)
            refused = await failure(here.api_keys.RotateApiKey(rotate, metadata=stolen))
            assert refused.what[0] in ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE")


async def test_people_may_take_their_own_access_away(serve: Serve) -> None:
    async with serve() as here:
        admin = await here.administrator()
        for deed in ("session", "key", "disable", "demote", "delete"):
            person = await Lost(here, here, admin).arrive()
            session_id = (
                (await here.auth.ListSessions(auth_pb2.ListSessionsRequest(), metadata=person.token))
                .sessions[0]
                .session_id
            )
            if deed == "session":
                await here.auth.RevokeSession(
                    auth_pb2.RevokeSessionRequest(session_id=session_id), metadata=person.token
                )
            elif deed == "key":
                made = await here.api_keys.CreateApiKey(
                    api_key_pb2.CreateApiKeyRequest(display_name="x", scopes=["keys.write"]),
                    metadata=person.token,
                )
                await here.api_keys.RevokeApiKey(
                    api_key_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id),
                    metadata=bearer(made.secret),
                )
            elif deed == "disable":
                await here.auth.UpdateUser(
                    person.update(auth_pb2.User(disabled=True), "disabled"), metadata=person.token
                )
            elif deed == "demote":
                await here.auth.UpdateUser(
                    person.update(auth_pb2.User(role=auth_pb2.ROLE_USER), "role"), metadata=person.token
                )
            else:
                await here.auth.DeleteUser(
                    auth_pb2.DeleteUserRequest(user_id=person.user_id), metadata=person.token
                )


async def test_a_revocation_outlives_tokens_that_were_signed_for_longer(serve: Serve) -> None:
    async with serve(JWT_EXPIRES_IN="1d"):
        pass
    async with serve(JWT_EXPIRES_IN="15m") as later:
        async with Database(later.url, min_size=1, max_size=2) as database:
            revocations = SqlRevocations(database, timedelta(minutes=15))
            async with database.engine.begin() as connection:
                await revocations.add(connection, RevocationKind.SESSION, [str(uuid.uuid4())])
        [(life,)] = await later.rows(
            "select expires_at - revoked_at from auth.revocations order by id desc limit 1"
        )
        assert life > timedelta(days=1)


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "a\ttab", "bell\x07"])
async def test_names_that_would_steer_a_terminal_are_refused(serve: Serve, name: str) -> None:
    async with serve() as suite:
        admin = await suite.administrator()
        profile = auth_pb2.UpdateProfileRequest(
            user=auth_pb2.User(display_name=name), update_mask=FieldMask(paths=["display_name"])
        )
        key = api_key_pb2.CreateApiKeyRequest(display_name=name, scopes=["chat.read"])
        for call in (
            suite.auth.UpdateProfile(profile, metadata=admin),
            suite.api_keys.CreateApiKey(key, metadata=admin),
        ):
            found = await failure(call)
            assert found.what == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
            assert "control character" in found.text
