"""A suite, or some of its services, in one process."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.bootstrap.catalogs import check_catalogs
from services.bootstrap.peer_credentials import PeerTls
from services.bootstrap.resources import OpenDatabase, on_mongo, open_database, schemas_of
from services.bootstrap.secret import deployment_secret
from services.kernel.startup import StartupError
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.server import Server
from services.settings import Settings

if TYPE_CHECKING:
    from services.auth.model.accounts import FirstAdministrator
    from services.auth.wiring import Auth
    from services.bootstrap.peers import AuthPeer
    from services.capabilities.identity.authenticator import TokenAuthenticator
    from services.capabilities.identity.revocation_cache import RevocationCache
    from services.infra.postgres.database import Database, Warmer
    from services.infra.postgres.embedded import EmbeddedPostgres
    from services.kernel.secret import DeploymentSecret
    from services.runtime.health import Health

SERVICES = ("auth", "chat", "image", "speech", "analytics")
METERED = frozenset({"chat", "image", "speech", "analytics"})
"""Those whose calls are metered, and Analytics."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that serves."""

    settings: Settings
    services: tuple[str, ...]
    mounted: tuple[Mounted, ...]
    server: Server
    health: Health
    metrics_port: int | None
    metrics: Metrics
    _opened: OpenDatabase | None
    _auth: Auth | None

    @property
    def database(self) -> Database:
        """Its PostgreSQL. Raises LookupError when it has none."""
        if self._opened is None:
            raise LookupError("no service of this process keeps anything in PostgreSQL")
        return self._opened.database

    @property
    def embedded(self) -> EmbeddedPostgres | None:
        """Its own PostgreSQL server; None with a database of the operator's, and with none."""
        return None if self._opened is None else self._opened.embedded

    @property
    def data(self) -> str:
        """Where its data is, for people."""
        found = []
        if self._opened is not None:
            embedded = self._opened.embedded is not None
            found.append(str(self.settings.data_dir) if embedded else self._opened.database.address)
        if on_mongo(self.settings).intersection(self.services):
            from services.infra.mongo.urls import read_address

            assert self.settings.mongo.url is not None
            found.append(read_address(self.settings.mongo.url.get_secret_value()).described)
        return ", ".join(found)

    def first_administrator(self) -> AbstractAsyncContextManager[FirstAdministrator | None]:
        """Inside the block: the administrator whom this start made, to be shown; None on later starts, and without Auth."""
        if self._auth is None:
            return nullcontext(None)
        return self._auth.first_administrator(self.settings.admin_email)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The services to run, all when none is named. Raises StartupError for an unknown one."""
    for name in names:
        if name not in SERVICES:
            near = difflib.get_close_matches(name, SERVICES, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise StartupError(
                f"There is no service {name!r}.",
                f"The services are {', '.join(SERVICES[:-1])} and {SERVICES[-1]}.{hint}",
            )
    return tuple(service for service in SERVICES if service in names or not names)


@asynccontextmanager
async def serving(
    settings: Settings, services: Sequence[str], log: Log, environ: Mapping[str, str]
) -> AsyncIterator[Suite]:
    """The suite, while the block runs. What was begun is ended in reverse, also when the start fails half way.

    `environ` has the provider keys that the model catalog names. Raises StartupError.
    """
    services = chosen(services)
    if "auth" not in services and settings.peers.auth is None:
        raise StartupError(
            f"{' and '.join(services)} without Auth in this process needs to know where Auth is.",
            "Set ANTIPHON_PEERS__AUTH=host:port, or serve auth too.",
        )
    schemas = schemas_of(settings, services)
    check_catalogs(settings, services)
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        peer_tls = PeerTls(settings.peers)
        # Ports first: that they are taken should not be learnt after a database was started.
        server = Server(settings.server, metrics, log)
        stack.push_async_callback(server.close)
        metrics_port = await stack.enter_async_context(metrics.page(settings.metrics.address))
        # The data directory has a secret for a suite that keeps its data there; who shares a database shares the secret.
        secret = deployment_secret(settings, embedded=bool(schemas) and settings.database.url is None)
        opened = None
        if schemas:
            opened = await stack.enter_async_context(
                open_database(settings, schemas, lambda: _prepare(services, schemas))
            )
        else:
            _prepare(services, schemas)
        door = await _door(settings, services, opened, secret, metrics, peer_tls, stack)
        authenticator, known = await _authenticator(settings, door, secret, metrics, stack)
        mounted: list[Mounted] = []
        from services.bootstrap.peers import AuthPeer

        auth = None if isinstance(door, AuthPeer) else door
        if auth is not None:
            mounted.append(auth.mounted(authenticator))
        if METERED.intersection(services):
            from services.bootstrap.metered import MeteredServices

            mounted += await MeteredServices(
                settings,
                services,
                None if opened is None else opened.database,
                secret,
                opened is not None and opened.embedded is not None,
                environ,
                door.revocations,
                metrics,
                peer_tls,
                stack,
            ).built()
        if isinstance(door, AuthPeer):
            mounted = [door.needed_by(service) for service in mounted]
        # What was revoked has to be known before anybody is let in, and the keys of access tokens.
        mounted = [
            dataclasses.replace(service, checks=(*service.checks, known, door.keys)) for service in mounted
        ]
        health = await stack.enter_async_context(server.serving(mounted, authenticator))
        yield Suite(
            settings,
            services,
            tuple(mounted),
            server,
            health,
            metrics_port,
            metrics,
            opened,
            auth,
        )


def _prepare(services: Sequence[str], schemas: Sequence[str]) -> list[Warmer]:
    """Import what the services need, and say what those with these schemas warm their connections with."""
    warmers: list[Warmer] = []
    from services.capabilities.identity import wiring as _identity  # noqa: F401 - imported early, used later.

    if "auth" in services:
        from services.auth import wiring as _auth  # noqa: F401 - imported early, used later.
    if "chat" in services:
        from services.chat import wiring as chat

        if "chat" in schemas:
            warmers.append(chat.warm_connection)
        else:
            from services.chat.stores.mongo import opening as _chat_mongo  # noqa: F401 - imported early, used later.
    if "image" in services:
        from services.image import wiring as _image  # noqa: F401 - imported early, used later.
    if "speech" in services:
        from services.speech import wiring as _speech  # noqa: F401 - imported early, used later.
    if "analytics" in services:
        from services.analytics import wiring as analytics

        if "analytics" in schemas:
            warmers.append(analytics.warm_connection)
        else:
            from services.analytics.stores.mongo import opening as _analytics_mongo  # noqa: F401 - as above.
    return warmers


async def _door(
    settings: Settings,
    services: Sequence[str],
    opened: OpenDatabase | None,
    secret: DeploymentSecret,
    metrics: Metrics,
    peer_tls: PeerTls,
    stack: AsyncExitStack,
) -> Auth | AuthPeer:
    """Auth in this process, or the way to it: either has its keys, the look-up of API keys, and the feed of revocations."""
    if "auth" in services:
        from services.auth import wiring as auth

        assert opened is not None
        return await stack.enter_async_context(
            auth.build(
                settings, opened.database, secret, sole_owner=opened.embedded is not None, metrics=metrics
            )
        )
    from services.bootstrap.peers import auth_at

    assert settings.peers.auth is not None
    return await stack.enter_async_context(
        auth_at(
            settings.peers.auth,
            peer_tls,
            secret,
            "+".join(services),
            offline_grace=settings.identity.offline_grace,
        )
    )


async def _authenticator(
    settings: Settings,
    door: Auth | AuthPeer,
    secret: DeploymentSecret,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> tuple[TokenAuthenticator, RevocationCache]:
    from services.capabilities.identity import wiring as identity
    from services.capabilities.identity.providers.key_metrics import KeyMetrics
    from services.capabilities.identity.revocation_cache import RevocationCache
    from services.capabilities.identity.revocation_metrics import RevocationMetrics

    known = RevocationCache(door.revocations, settings.identity.offline_grace)
    stack.push_async_callback(known.aclose)
    await known.start()
    metrics.registry.register(RevocationMetrics(known))
    metrics.registry.register(KeyMetrics(door.keys))
    authenticator = await stack.enter_async_context(
        identity.build(
            settings.identity.foreign_issuers,
            issuer=settings.auth.issuer,
            audience=settings.auth.audience,
            keys=door.keys,
            secret=secret,
            api_keys=door.api_keys,
            revocations=known,
        )
    )
    return authenticator, known
