"""LOGIN: whether the time that a refused login takes tells if there is an account."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from bench.figures import Goal, Result, middle
from bench.machine import Cores
from bench.processes import BenchmarkFailed, module, running
from bench.stage import work_folder
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade

_WITHIN = 0.05
_LOGINS = 200
_WARM = 10
# Each is tried less often than it takes to be delayed.
_TRIES = 4
_VARIANTS = {
    "delays on": Goal(
        "LOGIN", "medians of 200, known and unknown e-mail apart", _WITHIN, at_most=True, digits=3
    ),
    "delays off": Goal("LOGIN", "the same without delays", _WITHIN, at_most=True, digits=3),
}
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "delays on": {},
    "delays off": {"ANTIPHON_AUTH__LOGIN_FAILURES": "0"},
}


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds, each of 200 logins with a known e-mail and as many with an unknown one, taking turns."""

    rounds: int


SHORT = Extent(rounds=1)
FULL = Extent(rounds=3)


async def measure(cores: Cores, extent: Extent, say: Callable[[str], None]) -> list[Result]:
    """Log in with wrong passwords, known and unknown e-mails in random order. Raises BenchmarkFailed and StartupError."""
    results = []
    for name, goal in _VARIANTS.items():
        say(f"  {name}: {extent.rounds * 2 * _LOGINS} logins …")
        async with _auth(cores, _SETTINGS[name]) as stub:
            rounds = []
            for _ in range(extent.rounds):
                known = await _registered(stub, _LOGINS // _TRIES)
                unknown = [_email() for _ in known]
                rounds.append(await _round(stub, known * _TRIES, unknown * _TRIES))
        medians = [(middle(known), middle(unknown)) for known, unknown in rounds]
        apart = [abs(unknown / known - 1) for known, unknown in medians]
        known_ms, unknown_ms = (1e3 * middle([pair[place] for pair in medians]) for place in (0, 1))
        note = (
            f"{name}: known {known_ms:.2f} ms, unknown {unknown_ms:.2f} ms, ratio {unknown_ms / known_ms:.4f}"
        )
        results.append(Result(goal, apart, note))
    return results


async def _round(
    stub: auth_pb2_grpc.AuthServiceAsyncStub, known: Sequence[str], unknown: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Seconds of each login, of those with a known e-mail and of the others."""
    for email in (_email() for _ in range(_WARM)):
        await _refused(stub, email)
    times: tuple[list[float], list[float]] = ([], [])
    for pair in zip(known, unknown, strict=True):
        for place in random.sample((0, 1), 2):
            times[place].append(await _refused(stub, pair[place]))
    return times


async def _refused(stub: auth_pb2_grpc.AuthServiceAsyncStub, email: str) -> float:
    """Seconds that a login with a wrong password takes, from an address that nobody has used before."""
    request = auth_pb2.LoginRequest(email=email, password="not the password")
    address = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
    began = time.perf_counter()
    try:
        await stub.Login(request, metadata=(("x-forwarded-for", address),), timeout=10)
    except grpc.aio.AioRpcError as error:
        taken = time.perf_counter() - began
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return taken
        raise BenchmarkFailed(f"Login failed: {error.code().name}, {error.details()}") from None
    raise BenchmarkFailed("a wrong password was accepted")


async def _registered(stub: auth_pb2_grpc.AuthServiceAsyncStub, count: int) -> list[str]:
    """The e-mails of new accounts."""
    emails = [_email() for _ in range(count)]
    for email in emails:
        request = auth_pb2.RegisterRequest(email=email, password=secrets.token_urlsafe(16))
        try:
            await stub.Register(request, timeout=10)
        except grpc.aio.AioRpcError as error:
            raise BenchmarkFailed(f"Register failed: {error.code().name}, {error.details()}") from None
    return emails


def _email() -> str:
    return f"{secrets.token_hex(8)}@example.com"


@asynccontextmanager
async def _auth(
    cores: Cores, settings: Mapping[str, str]
) -> AsyncIterator[auth_pb2_grpc.AuthServiceAsyncStub]:
    """Auth as operators run it, without rate limits, on a database on the disk of the checkout."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        postgres = EmbeddedPostgres(folder / "data")
        stack.push_async_callback(postgres.stop)
        database = await postgres.start()
        await upgrade(database, ("auth",))
        environment = {
            "DATABASE_URL": database,
            "ANTIPHON_SECRET_KEY": secrets.token_urlsafe(48),
            "ANTIPHON_DATA_DIR": str(folder / "suite"),
            "ANTIPHON_SERVER__PORT": "0",
            "ANTIPHON_SERVER__TRUSTED_PROXIES": "127.0.0.1",
            "ANTIPHON_METRICS__ADDRESS": "off",
            "ANTIPHON_LIMITS__LOGIN": "0",
            "ANTIPHON_LIMITS__REGISTER": "0",
            **settings,
        }
        process = await stack.enter_async_context(
            running("auth", module("services.cli", "serve", "auth"), folder, cores.server, environment)
        )
        channel = grpc.aio.insecure_channel(await process.said(r"address  (\S+)"))
        yield auth_pb2_grpc.AuthServiceStub(await stack.enter_async_context(channel))
