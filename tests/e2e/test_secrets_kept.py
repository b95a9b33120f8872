"""No secret is kept or told in clear: every kind of them is used, well and badly, then logs, metrics and the whole database are searched."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import stat
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import jwt
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from services.auth.providers.keys import unseal
from services.auth.stores.signing_keys import SqlSigningKeys
from services.capabilities.identity.providers.service import ServiceTokens
from services.infra.postgres.database import Database
from services.kernel.secret import DeploymentSecret
from tests.e2e.secrets_use import accounts, api_keys, bearer, callers, chats, everything, services_ask
from tests.e2e.suite_process import SuiteProcess
from tests.fakes.chat_upstream import Exchange, stop, text, upstream, used
from tests.fakes.secrets_known import Secrets, dump, unguessable
from tests.peers.programs import free_port

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
MODELS = """
[providers.stage]
base_url = "{url}"
api_key_env = "OPENAI_API_KEY"

[[models]]
name = "talking"
provider = "stage"

[[models]]
name = "telling"
provider = "stage"
"""


def with_password(url: str, password: str) -> tuple[str, str]:
    """The URL with a password in it, and which; one that is there already stays, since the server may look at it."""
    parts = urlsplit(url)
    if parts.password:
        return url, parts.password
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.rstrip(':')}:{quote(password)}@{host}")), password


async def _tells_what_it_was_sent(exchange: Exchange) -> None:
    if exchange.json["model"] == "talking":
        await exchange.says(text("Bien"), stop(), used(7, 4))
    else:
        sent = "\n".join(f"{name}: {value}" for name, value in exchange.headers.items())
        await exchange.answer(401, "application/json", f'{{"error": {{"message": {sent!r}}}}}'.encode())


def private_key(passphrase: str | None) -> tuple[bytes, str]:
    """A signing key as its file has it, and what of it is secret."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    protection = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    return pem, inside_of(key)


def inside_of(key: rsa.RSAPrivateKey) -> str:
    """A line from the middle of the key's PEM, where its private numbers are."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode().splitlines()[12]


async def signing_keys(url: str, deployment: str) -> list[str]:
    """A line of each private key that the database has, opened as Auth opens it."""
    sealing_key = DeploymentSecret(deployment.encode()).derive("auth.signing-keys")
    async with Database(url) as database:
        stored = await SqlSigningKeys(database).all()
    assert stored
    return [inside_of(unseal(key, sealing_key)) for key in stored]


@dataclass
class Told:
    """What a suite told while it was used: its log and its output, and its metrics."""

    logs: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)


@dataclass
class Deployment:
    """What an operator has set, and the tokens that came from elsewhere."""

    known: Secrets
    settings: Mapping[str, str]
    foreign: list[str]
    admin_password: str = ""

    async def use(self, suite: SuiteProcess) -> None:
        known = self.known
        async with callers(suite) as calls:
            login = await calls.auth.Login(
                auth_pb2.LoginRequest(email="admin@example.com", password=self.admin_password)
            )
            known.add("refresh token", login.refresh_token)
            admin = known.token("access token of the administrator", login.access_token)
            token = await accounts(calls, known, admin)
            keys = await api_keys(calls, known, token)
            await chats(calls, known, token)
            by_foreign = chat_pb2.ChatRequest(message="Hola", model="echo")
            await calls.chat.Chat(by_foreign, metadata=bearer(self.foreign[0]))
            secret = DeploymentSecret(self.settings["ANTIPHON_SECRET_KEY"].encode())
            provider = self.settings["OPENAI_API_KEY"]
            service = ServiceTokens(secret, "analytics").token()
            await services_ask(calls, known, service, (token, *keys, *self.foreign, provider))
            await everything(calls, (admin, token, keys[0], *self.foreign[1:], provider))

    async def serve_and_use(self, start_suite: StartSuite, told: Told, **more: str) -> None:
        page = f"127.0.0.1:{free_port()}"
        settings = {**self.settings, "ANTIPHON_METRICS__ADDRESS": page, **more}
        suite = await asyncio.to_thread(lambda: start_suite(settings=settings).up())
        shown = suite.password
        if shown is not None:
            self.admin_password = self.known.add("password of the administrator", shown)
        await self.use(suite)

        def read() -> str:
            with urllib.request.urlopen(f"http://{page}/metrics", timeout=5) as answer:
                return str(answer.read().decode())

        told.metrics.append(await asyncio.to_thread(read))
        assert await asyncio.to_thread(suite.stop) == 0
        # The first start shows the administrator's password, on its output alone.
        told.logs += [suite.err, suite.out.replace(shown, "") if shown else suite.out]


async def test_no_secret_that_was_used_is_found_again(
    tmp_path: Path, migrated_url: str, start_suite: StartSuite
) -> None:
    known = Secrets()
    url, password = with_password(migrated_url, unguessable("database"))
    known.add("password of the database", password)
    site_key = known.add("key of a foreign issuer", unguessable("a-key-that-a-site-shares"))
    passphrase = known.add("passphrase of a signing key", unguessable("passphrase"))
    pem, inside = private_key(passphrase)
    known.add("private signing key", inside)
    key_file, models = tmp_path / "key.pem", tmp_path / "models.toml"
    key_file.write_bytes(pem)
    now = int(time.time())
    foreign = [
        known.token(
            "foreign token", jwt.encode({"user_id": "7", "token_type": "access", "exp": end}, key, "HS256")
        )
        for key, end in (
            (site_key, now + 600),
            (site_key, now - 600),
            (unguessable("a-key-of-nobody-here"), now + 600),
        )
    ]
    told = Told()
    async with upstream(_tells_what_it_was_sent) as model:
        models.write_text(MODELS.format(url=model.base_url))
        settings = {
            "DATABASE_URL": url,
            "ANTIPHON_SECRET_KEY": known.add("secret of the deployment", unguessable("deployment-of-a-test")),
            "ANTIPHON_ADMIN_EMAIL": "admin@example.com",
            "ANTIPHON_CHAT__MODELS_FILE": str(models),
            "JWT_SECRET_KEY": site_key,
            "OPENAI_API_KEY": known.add("key of a provider", f"sk-{secrets.token_urlsafe(30)}"),
            "LOG_LEVEL": "DEBUG",
            # What is refused for being too much would not be looked at.
            "ANTIPHON_AUTH__LOGIN_FAILURES": "1000",
            **{f"ANTIPHON_LIMITS__{name}": "0" for name in ("REGISTER", "LOGIN", "CHAT", "CHAT_ANONYMOUS")},
        }
        deployment = Deployment(known, settings, foreign)
        # First with keys of its own, which are in the database, then with one from a file.
        await deployment.serve_and_use(start_suite, told)
        for lines in await signing_keys(url, settings["ANTIPHON_SECRET_KEY"]):
            known.add("private signing key in the database", lines)
        await deployment.serve_and_use(
            start_suite, told, JWT_PRIVATE_KEY_PATH=str(key_file), JWT_PRIVATE_KEY_PASSPHRASE=passphrase
        )
    logs, stored = "\n".join(told.logs), dump(url)
    assert "/Login" in logs
    assert "antiphon" in "".join(told.metrics)
    for table in ("users", "sessions", "api_keys", "signing_keys", "audit_events"):
        assert f"auth.{table}: " in stored
    assert known.found_in(logs) == []
    assert known.found_in("\n".join(told.metrics)) == []
    assert known.found_in(stored) == []


def test_the_search_finds_what_is_there() -> None:
    known = Secrets()
    known.add("plain", "a plain secret")
    known.add("hexadecimal", "a secret in a column of bytes")
    known.add("base64", "a secret that was encoded")
    known.add("absent", "a secret that was kept")
    coded = base64.b64encode(b"a secret that was encoded").decode()
    text = f"row (a plain secret,\\x00{b'a secret in a column of bytes'.hex().upper()},{coded})"
    assert known.found_in(text) == ["plain (0)", "hexadecimal (1)", "base64 (2)"]


def test_what_the_suite_keeps_on_disk_is_its_users_alone(start_suite: StartSuite) -> None:
    before = os.umask(0)
    try:
        suite = start_suite(settings={"LOG_LEVEL": "DEBUG"}).up()
    finally:
        os.umask(before)
    kept = [suite.data_dir, *suite.data_dir.rglob("*")]
    assert suite.data_dir / "secret" in kept
    # A socket is as open as the folder that it is in.
    modes = {
        path: stat.S_IMODE(path.lstat().st_mode)
        for path in kept
        if not path.is_socket() and not path.is_symlink()
    }
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    deployment = (suite.data_dir / "secret").read_text().strip()
    password = next(suite.data_dir.rglob("antiphon.password")).read_text().strip()
    assert suite.stop() == 0
    for secret in (deployment, password):
        assert secret not in suite.err + suite.out
