"""Signing keys rotated under the feet of people who refresh, log in and call, at several processes over one database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.capabilities.identity.propagation import LEARNT_SECONDS
from tests.e2e.suite_process import COMMAND, SuiteProcess, environment
from tests.peers.programs import free_port

StartSuite = Callable[..., SuiteProcess]
KEY = "0123456789-0123456789-0123456789-0123456789"
PASSWORD = "correct horse battery staple"
PEOPLE = 3
ROTATIONS = 3
NO_LIMITS = {f"ANTIPHON_LIMITS__{name}": "0" for name in ("DEFAULT", "LOGIN", "REGISTER", "REFRESH")}


def given(url: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "ANTIPHON_SECRET_KEY": KEY, **NO_LIMITS, **more}


class Deployment:
    """Two processes with Auth, each with its own view of the keys, and one without, which asks the first."""

    def __init__(self, folder: Path, settings: dict[str, str], channels: Sequence[grpc.aio.Channel]) -> None:
        self.folder = folder
        self._settings = settings
        self.auths = [auth_pb2_grpc.AuthServiceStub(channel) for channel in channels[:2]]
        self.chats = [chat_pb2_grpc.ChatServiceStub(channel) for channel in channels]

    async def keys(self, *arguments: str) -> dict[str, Any]:
        """What `antiphon signing-keys …` prints."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*COMMAND, "signing-keys", *arguments, "--json"],
            cwd=self.folder,
            env=environment(self.folder, self._settings),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def calls(self, token: str) -> list[Any]:
        """A call with the token to every process and service."""
        metadata = (("authorization", f"Bearer {token}"),)
        return [
            *(
                auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata, timeout=20)
                for auth in self.auths
            ),
            *(
                chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=metadata, timeout=20)
                for chat in self.chats
            ),
        ]

    async def use(self, token: str) -> None:
        """Show the token to every process at once."""
        for call in self.calls(token):
            await call


@contextlib.asynccontextmanager
async def deployed(folder: Path, url: str, start_suite: StartSuite) -> AsyncIterator[Deployment]:
    first = free_port()
    processes = [
        start_suite(folder / "one", port=first, settings=given(url)),
        start_suite(folder / "two", settings=given(url)),
        start_suite(
            folder / "three",
            services=("chat",),
            settings=given(url, ANTIPHON_PEERS__AUTH=f"127.0.0.1:{first}"),
        ),
    ]
    for process in processes:
        await asyncio.to_thread(process.up)
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(process.address, [("grpc.enable_http_proxy", 0)])
            )
            for process in processes
        ]
        yield Deployment(folder, given(url), channels)


class Person:
    """Somebody who refreshes here and there, and shows every token everywhere at once."""

    def __init__(self, deployment: Deployment, number: int) -> None:
        self._deployment = deployment
        self._number = number
        self.email = f"person-{number}@example.com"
        self.kids: set[str] = set()
        self.access = self.refresh = ""

    async def come(self) -> None:
        request = auth_pb2.RegisterRequest(email=self.email, password=PASSWORD)
        await self._deployment.auths[0].Register(request, timeout=30)
        await self.log_in()

    async def log_in(self) -> None:
        auth = self._deployment.auths[self._number % 2]
        request = auth_pb2.LoginRequest(email=self.email, password=PASSWORD)
        self._take(await auth.Login(request, timeout=30))
        await self._deployment.use(self.access)

    async def refreshed(self, auth: auth_pb2_grpc.AuthServiceAsyncStub) -> None:
        request = auth_pb2.RefreshTokenRequest(refresh_token=self.refresh)
        self._take(await auth.RefreshToken(request, timeout=20))
        await self._deployment.use(self.access)

    async def live(self, over: asyncio.Event) -> int:
        """Call until it is over; how often. Whatever fails, fails the test."""
        calls = 0
        while not over.is_set():
            if calls % 40 == 39:
                await self.log_in()
            else:
                await self.refreshed(self._deployment.auths[calls % 2])
            calls += 1
        return calls

    def _take(self, tokens: auth_pb2.LoginResponse | auth_pb2.RefreshTokenResponse) -> None:
        self.access, self.refresh = tokens.access_token, tokens.refresh_token
        self.kids.add(jwt.get_unverified_header(self.access)["kid"])


@pytest.mark.long
async def test_no_valid_call_is_refused_while_keys_are_rotated_and_a_leaked_key_is_soon_worthless(
    tmp_path: Path, migrated_url: str, start_suite: StartSuite
) -> None:
    async with deployed(tmp_path, migrated_url, start_suite) as deployment:
        people = [Person(deployment, number) for number in range(PEOPLE)]
        await asyncio.gather(*(person.come() for person in people))
        over = asyncio.Event()
        living = [asyncio.create_task(person.live(over)) for person in people]
        try:
            signed = [key["kid"] for key in (await deployment.keys("list"))["signingKeys"]][::-1]
            for _ in range(ROTATIONS):
                rotation = await deployment.keys("rotate")
                assert rotation["active"] == signed[-1]
                assert rotation["retired"] == signed[-2]
                signed.append(rotation["next"])
            # Until everybody has a token of the last key that was made active.
            last = time.monotonic() + 20
            while not all(signed[-2] in person.kids for person in people):
                assert time.monotonic() < last
                assert not any(task.done() for task in living), [task for task in living if task.done()]
                await asyncio.sleep(0.05)
        finally:
            over.set()
            calls = await asyncio.gather(*living)
        assert min(calls) > 0
        assert set.union(*(person.kids for person in people)) == set(signed[:-1])
        listed = (await deployment.keys("list"))["signingKeys"]
        states = {key["kid"]: key["state"] for key in listed}
        assert states == {
            **dict.fromkeys(signed[:-2], "retired"),
            signed[-2]: "active",
            signed[-1]: "next",
        }

        ana = people[0]
        await deployment.use(ana.access)
        dropped = await deployment.keys("rotate", "--leaked")
        assert set(dropped["dropped"]) == set(signed[:-1])
        last = time.monotonic() + LEARNT_SECONDS
        while any(found := await asyncio.gather(*map(passes, deployment.calls(ana.access)))):
            assert time.monotonic() < last, found
            await asyncio.sleep(0.05)
        await ana.refreshed(deployment.auths[0])
        assert jwt.get_unverified_header(ana.access)["kid"] == signed[-1]


async def passes(call: Any) -> bool:
    """Whether a call is let in; one that is not may only be so for its token."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True
