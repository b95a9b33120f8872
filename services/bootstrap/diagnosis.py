"""Looks at everything that a start needs, changes nothing, and says what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.image_models import image_models_found
from services.bootstrap.models import models_found
from services.bootstrap.objects import objects_found
from services.bootstrap.recording import recording
from services.bootstrap.resources import on_mongo, schemas_of
from services.bootstrap.secret import FILE, deployment_secret
from services.bootstrap.speech_models import speech_models_found
from services.bootstrap.suite import SERVICES
from services.bootstrap.tls import certificates_found, peer_over_tls
from services.infra.postgres import migrations
from services.infra.postgres.database import Database
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.histories import State
from services.kernel.errors import ServiceError
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.runtime import listening
from services.settings import PeerSettings, Settings
from services.settings.reserved import RESERVED_NAMES

_PEER_SECONDS = 3.0
_DATABASE_SECONDS = 3.0


async def diagnose(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """One finding after the other, as they are made."""
    yield _settings(settings, environ)
    yield _look("address", lambda: _address(settings))
    for found in certificates_found(settings):
        yield found
    yield _look("metrics", lambda: _metrics(settings))
    try:
        # Auth that is elsewhere has its database there.
        schemas = schemas_of(settings, on_mongo(settings) if _auth_is_elsewhere(settings) else SERVICES)
    except StartupError as error:
        schemas = ("auth",)
        yield Finding("mongo", Verdict.BAD, error.message, error.advice)
    embedded = settings.database.url is None and bool(schemas)
    if embedded:
        yield _look("data directory", lambda: _data_dir(settings.data_dir))
    secret: DeploymentSecret | None = None
    if (
        embedded
        and settings.secret_key is None
        and settings.secret_key_file is None
        and not (settings.data_dir / FILE).exists()
    ):
        yield Finding("secret", Verdict.GOOD, "not made yet; the first start makes it")
    else:
        try:
            secret = deployment_secret(settings, embedded=embedded)
            yield _secret_file(settings, embedded)
        except StartupError as error:
            yield Finding("secret", Verdict.BAD, error.message, error.advice)
    if schemas:
        async for finding in _database(settings, schemas, secret):
            yield finding
    if on_mongo(settings) and settings.mongo.url is not None:
        yield await _mongo(settings, settings.mongo.url.get_secret_value())
    if not _auth_is_elsewhere(settings):
        yield await objects_found(settings)
    yield recording(settings)
    async for finding in _models(settings, environ):
        yield finding
    async for finding in _peers(settings.peers):
        yield finding


async def _models(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    for findings in (
        models_found(settings, environ),
        image_models_found(settings, environ),
        speech_models_found(settings, environ),
    ):
        async for finding in findings:
            yield finding


def _look(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except StartupError as error:
        return Finding(name, Verdict.BAD, error.message, error.advice)


def _settings(settings: Settings, environ: Mapping[str, str]) -> Finding:
    unread = sorted(name for name in RESERVED_NAMES if environ.get(name))
    if settings.mongo.url is not None and not on_mongo(settings):
        return Finding(
            "settings",
            Verdict.NOTE,
            "MONGODB_URL is set and nothing uses it",
            "For Chat on MongoDB set ANTIPHON_CHAT__STORE=mongo, too, and ANTIPHON_ANALYTICS__STORE=mongo for Analytics.",
        )
    if unread:
        return Finding("settings", Verdict.NOTE, f"fine; not read by any service yet: {', '.join(unread)}")
    return Finding("settings", Verdict.GOOD, "fine")


def _address(settings: Settings) -> Finding:
    server = settings.server
    if server.tls_certificate is None:
        listening.require_allowed(server.host, allow_plaintext=server.allow_plaintext)
    address = listening.target(server.host, server.port)
    try:
        listening.require_free(server.host, server.port)
    except StartupError as error:
        return Finding("address", Verdict.NOTE, error.message, "All is well if that is the suite itself.")
    return Finding("address", Verdict.GOOD, f"{address} is free")


def _metrics(settings: Settings) -> Finding:
    address = settings.metrics.address
    if not address:
        return Finding("metrics", Verdict.GOOD, "switched off")
    host, _, port = address.rpartition(":")
    try:
        listening.require_free(host.strip("[]"), int(port))
    except StartupError as error:
        return Finding(
            "metrics",
            Verdict.NOTE,
            error.message,
            "All is well if that is the suite itself; else set ANTIPHON_METRICS__ADDRESS.",
        )
    return Finding("metrics", Verdict.GOOD, f"{address} is free")


def _data_dir(path: Path) -> Finding:
    if not path.exists():
        above = next(parent for parent in path.parents if parent.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return Finding(
                "data directory",
                Verdict.BAD,
                f"{path} can't be made: {above} is not writable",
                "Choose another one with --data-dir or ANTIPHON_DATA_DIR.",
            )
        return Finding("data directory", Verdict.GOOD, f"{path} is made by the first start")
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            "data directory",
            Verdict.BAD,
            f"{path} is not a folder that this user can write to",
            "Choose another one with --data-dir or ANTIPHON_DATA_DIR, or run as the user that owns it.",
        )
    return Finding("data directory", Verdict.GOOD, str(path))


def _secret_file(settings: Settings, embedded: bool) -> Finding:
    path = settings.secret_key_file
    if path is None and embedded and settings.secret_key is None:
        path = settings.data_dir / FILE
    if path is not None and path.stat().st_mode & 0o077:
        return Finding(
            "secret",
            Verdict.NOTE,
            f"{path} can be read by other users of this machine",
            f"chmod 600 '{path}'",
        )
    return Finding("secret", Verdict.GOOD, "set" if path is None else str(path))


def _auth_is_elsewhere(settings: Settings) -> bool:
    """Whether these are services that have no use for PostgreSQL: a suite that has one is looked at as a whole."""
    return settings.peers.auth is not None and settings.database.url is None and bool(on_mongo(settings))


async def _mongo(settings: Settings, url: str) -> Finding:
    from services.infra.mongo.client import Mongo

    try:
        mongo = Mongo(url, min(settings.mongo.connect_timeout, _DATABASE_SECONDS))
        await mongo.open(_DATABASE_SECONDS, lambda _: None)
    except StartupError as error:
        return Finding("mongo", Verdict.BAD, error.message, error.advice)
    await mongo.close()
    return Finding("mongo", Verdict.GOOD, mongo.address)


async def _database(
    settings: Settings, schemas: Sequence[str], secret: DeploymentSecret | None
) -> AsyncIterator[Finding]:
    if settings.database.url is None and not (settings.data_dir / "postgres").exists():
        yield Finding("database", Verdict.GOOD, "embedded; the first start makes it")
        return
    try:
        async with _reachable(settings) as database:
            yield Finding("database", Verdict.GOOD, database.address)
            yield await _schemas(settings, schemas, database)
            if secret is not None:
                yield await _keys(settings, database, secret)
    except StartupError as error:
        yield Finding("database", Verdict.BAD, error.message, error.advice)


@asynccontextmanager
async def _reachable(settings: Settings) -> AsyncIterator[Database]:
    if settings.database.url is not None:
        async with _opened(settings.database.url, settings.database.direct_url) as database:
            yield database
        return
    async with EmbeddedPostgres(settings.data_dir).reach() as url, _opened(url, None) as database:
        yield database


@asynccontextmanager
async def _opened(url: str, direct_url: str | None) -> AsyncIterator[Database]:
    database = Database(url, direct_url=direct_url, min_size=1, max_size=2)
    await database.open(_DATABASE_SECONDS, lambda _: None)
    try:
        yield database
    finally:
        await database.close()


async def _schemas(settings: Settings, schemas: Sequence[str], database: Database) -> Finding:
    found = await migrations.status(database.direct_url, schemas)
    waiting = [status for status in found if status.state is not State.CURRENT]
    if not waiting:
        return Finding(
            "schemas", Verdict.GOOD, ", ".join(f"{status.service} {status.head}" for status in found)
        )
    text = "; ".join(map(str, waiting))
    if any(status.state is State.AHEAD for status in waiting):
        return Finding(
            "schemas", Verdict.BAD, text, "Install the version that migrated this database, or a later one."
        )
    if settings.database.url is None:
        return Finding("schemas", Verdict.GOOD, f"{text}; the next start migrates")
    return Finding("schemas", Verdict.BAD, text, "Run `antiphon migrate`.")


async def _keys(settings: Settings, database: Database, secret: DeploymentSecret) -> Finding:
    from services.auth.providers import keys
    from services.auth.providers.key_rings import StoredKeyRing
    from services.auth.stores.signing_keys import SqlSigningKeys

    path, passphrase = settings.auth.private_key_path, settings.auth.private_key_passphrase
    try:
        if path is not None:
            private = await asyncio.to_thread(
                keys.read_private_file, path, None if passphrase is None else passphrase.get_secret_value()
            )
            if settings.auth.public_key_path is not None:
                keys.read_public_file(settings.auth.public_key_path, private)
            return Finding("signing keys", Verdict.GOOD, str(path))
        auth = (await migrations.status(database.direct_url, ["auth"]))[0]
        stored = SqlSigningKeys(database)
        if auth.state is not State.CURRENT or not await stored.all():
            return Finding("signing keys", Verdict.GOOD, "not made yet; the first start makes them")
        # There are keys, so this reads them and makes none.
        await StoredKeyRing(stored, secret.derive("auth.signing-keys")).start()
    except StartupError as error:
        return Finding("signing keys", Verdict.BAD, error.message, error.advice)
    except ServiceError as error:
        return Finding("signing keys", Verdict.BAD, error.message)
    return Finding("signing keys", Verdict.GOOD, "in the database, and the secret opens them")


async def _peers(peers: PeerSettings) -> AsyncIterator[Finding]:
    for name in SERVICES:
        address: str | None = getattr(peers, name)
        if address is not None:
            yield await _peer(name, address, peers)


async def _peer(name: str, address: str, peers: PeerSettings) -> Finding:
    if address.startswith("https://"):
        return await peer_over_tls(f"peer {name}", address, peers, _PEER_SECONDS)
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_PEER_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "no answer"
        return Finding(
            f"peer {name}",
            Verdict.BAD,
            f"{address} can't be reached: {why}",
            f"Start it, or correct ANTIPHON_PEERS__{name.upper()}.",
        )
    return Finding(f"peer {name}", Verdict.GOOD, address)
