"""Puts Chat together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakSet

import aiohttp
from prometheus_client import CollectorRegistry

from services.capabilities.identity.deletions import SETTLE_SECONDS, DeletionFollower
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.metering import wiring as metering_wiring
from services.capabilities.metering.ports import Sink
from services.capabilities.metering.usecases import RedeliverUsage, SummarizeUsage
from services.capabilities.metering.wiring import Metering
from services.capabilities.upstream.catalogs import CatalogReload
from services.chat.generation.breaker import Breakers
from services.chat.generation.generations import Bounds, Generations
from services.chat.generation.leases import LeaseKeeper
from services.chat.generation.metrics import ChatMetrics
from services.chat.generation.retention import keep_bounded
from services.chat.generation.routing import Routing
from services.chat.generation.tails import RemoteTails
from services.chat.generation.writer import RecordWriter
from services.chat.ports import Catalog, ImageSource, SessionStore
from services.chat.providers.catalog import Endpoint, FileCatalog, configured_catalog
from services.chat.providers.echo import EchoProvider
from services.chat.providers.openai import OpenAIProvider, Timeouts
from services.chat.providers.pictures import FetchedPictures
from services.chat.servicer import ChatServicer, UseCases
from services.chat.session_servicer import SessionUseCases
from services.chat.stores.opening import NAME, Stores, opened
from services.chat.stores.warming import warm
from services.chat.usecases.claiming import RequestClaims
from services.chat.usecases.count_tokens import CountTokens
from services.chat.usecases.generations import (
    AwaitGeneration,
    CancelGeneration,
    FindGeneration,
    WatchGeneration,
)
from services.chat.usecases.messages import CreateMessage, GetMessage, ListMessages
from services.chat.usecases.search import SearchMessages
from services.chat.usecases.sessions import (
    CreateSession,
    DeleteSession,
    ForkSession,
    GetSession,
    ListSessions,
    UpdateSession,
)
from services.chat.usecases.showing import Gallery
from services.chat.usecases.start_chat import StartChat
from services.infra.http.public import PublicFetch
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from services.kernel.ownership import OwnerTokens
from services.kernel.paging import PageTokens
from services.kernel.secret import DeploymentSecret
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.tasks import TasksCheck, running
from services.settings import ChatSettings, Settings

# Has every connection of the pool prepare the statements of a chat call.
warm_connection = warm

# However long the answers have taken, what they used gets a moment to be delivered.
_SHORTEST_FLUSH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Chat:
    """Chat as it runs: what is served, and what others of this process may ask of it."""

    mounted: Mounted
    summarize: SummarizeUsage
    redeliver: RedeliverUsage
    catalog: Catalog


@asynccontextmanager
async def build(
    settings: Settings,
    database: Database | None,
    secret: DeploymentSecret,
    *,
    sole_owner: bool,
    environ: Mapping[str, str],
    revocations: RevocationSource,
    sink: Sink | None = None,
    metrics: Metrics | None = None,
    pictures_of: ImageSource | None = None,
) -> AsyncIterator[Chat]:
    """Chat on an open database, ready to be served; at the end its tasks are ended, and its lease is given up.

    With ANTIPHON_CHAT__STORE=mongo there need be no `database`: Chat opens its MongoDB itself. `sole_owner` says that no other process
    can be at work on this database; `environ` has the keys that the catalog names; `revocations` tells who was deleted, and
    `sink` takes what was used (None: it waits); both have to outlive the block, as has `pictures_of`, which has the images that messages
    name by their ids (None: nobody knows where they are). Raises StartupError.
    """
    stores = opened(
        settings, database, limits_key=secret.derive("chat.limits"), sole_owner=sole_owner, metrics=metrics
    )
    async with (
        stores as kept,
        metering_wiring.build(settings.analytics, NAME, kept.outbox, sink, metrics) as metering,
        _pictures(settings.chat, pictures_of) as pictures,
        _built(settings, kept, metering, secret, environ, revocations, metrics, pictures) as chat,
    ):
        yield chat


@asynccontextmanager
async def _built(
    settings: Settings,
    stores: Stores,
    metering: Metering,
    secret: DeploymentSecret,
    environ: Mapping[str, str],
    revocations: RevocationSource,
    metrics: Metrics | None,
    pictures: FetchedPictures,
) -> AsyncIterator[Chat]:
    chat, records, tails = settings.chat, stores.records, stores.tails
    keeper = LeaseKeeper(records, timedelta(seconds=chat.lease_ttl), sole_owner=stores.sole_owner)
    writer = RecordWriter(records, keeper)
    breakers = Breakers(chat.breaker_failures, chat.breaker_cooldown)
    figures = ChatMetrics(CollectorRegistry() if metrics is None else metrics.registry)
    generations = Generations(
        records,
        writer,
        keeper,
        Bounds(chat.max_answer_bytes, chat.max_generations),
        Routing(chat.total_timeout, chat.retries, breakers, figures),
        metering.meter,
        tails,
    )
    figures.count_running(generations.__len__)
    figures.show_breakers(breakers.states)
    remote = RemoteTails(tails, records, new_id())
    deletions = DeletionFollower(
        revocations,
        stores.deletions(generations.cancel_soon),
        settle=SETTLE_SECONDS + settings.identity.offline_grace,
    )

    async def drain(grace: float) -> None:
        ends = time.monotonic() + grace
        remote.drain()
        await generations.drain(grace)
        await metering.drain(max(_SHORTEST_FLUSH_SECONDS, ends - time.monotonic()))

    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    # A cookie that an endpoint sets for one key would be sent with all others, and grow their headers.
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http:
        used: WeakSet[object] = WeakSet()
        catalog = _catalog(chat, environ, http, used)
        reload = CatalogReload(NAME, catalog, lambda: _catalog(chat, environ, http, used))
        tokens = OwnerTokens(secret.derive("chat.resume"))
        pages = PageTokens(secret.derive("chat.pages"))
        digest_key = secret.derive("chat.digests")
        find = FindGeneration(records, generations, tokens)
        use = UseCases(
            start=StartChat(records, catalog, generations, keeper, Gallery(pictures, chat.max_image_bytes)),
            watch=WatchGeneration(records, generations, remote),
            find=find,
            whole=AwaitGeneration(find, generations),
            cancel=CancelGeneration(find, records, generations),
            count_tokens=CountTokens(catalog),
            summarize_usage=SummarizeUsage(records),
            redeliver_usage=RedeliverUsage(records, settings.analytics.enabled),
            sessions=_session_use_cases(stores.sessions, catalog, pages, digest_key, generations),
        )
        servicer = ChatServicer(use, catalog, tokens, digest_key)
        await keeper.acquire()
        async with running(
            writer=writer.run(),
            lease=keeper.run(generations),
            retention=keep_bounded(
                records, timedelta(seconds=chat.event_retention), timedelta(seconds=chat.answer_retention)
            ),
            deletions=deletions.run(),
            watchers=generations.run(),
            remote=remote.run(),
        ) as tasks:
            try:
                # Where others may be at work, they get the time to renew first, behind an outage of the store for example.
                if stores.sole_owner:
                    await keeper.take_over(generations)
                mounted = Mounted(
                    name=NAME,
                    servicers={"antiphon.chat.v1.ChatService": servicer},
                    checks=(stores.check, _LeaseCheck(keeper), TasksCheck(tasks)),
                    drain=drain,
                    reload=reload,
                    limits=stores.limits,
                    meter=metering.calls,
                )
                yield Chat(mounted, use.summarize_usage, use.redeliver_usage, catalog)
            finally:
                await generations.close()
        await keeper.release()


@asynccontextmanager
async def _pictures(chat: ChatSettings, images: ImageSource | None) -> AsyncIterator[FetchedPictures]:
    public = PublicFetch()
    try:
        yield FetchedPictures(public, images, limit=chat.max_image_bytes, seconds=chat.image_timeout)
    finally:
        await public.aclose()


def _session_use_cases(
    store: SessionStore, catalog: Catalog, pages: PageTokens, digest_key: bytes, generations: Generations
) -> SessionUseCases:
    claims, get_session = RequestClaims(digest_key), GetSession(store)
    return SessionUseCases(
        create_session=CreateSession(store, catalog, claims),
        get_session=get_session,
        list_sessions=ListSessions(store, pages),
        update_session=UpdateSession(store, catalog),
        delete_session=DeleteSession(store, generations.cancel_soon),
        fork_session=ForkSession(store, claims),
        create_message=CreateMessage(store, claims),
        get_message=GetMessage(store),
        list_messages=ListMessages(get_session, store, pages),
        search=SearchMessages(get_session, store, pages),
    )


def _catalog(
    chat: ChatSettings, environ: Mapping[str, str], http: aiohttp.ClientSession, used: WeakSet[object]
) -> FileCatalog:
    def make(endpoint: Endpoint, model: str) -> OpenAIProvider:
        chosen = endpoint.timeouts
        timeouts = Timeouts(
            chosen.connect or chat.connect_timeout,
            chosen.first_token or chat.first_token_timeout,
            chosen.idle or chat.idle_timeout,
        )
        return OpenAIProvider(http, endpoint.base_url, endpoint.key, timeouts, model, endpoint.name, used)

    return configured_catalog(chat, environ, make, EchoProvider(chat.echo_interval_ms / 1000))


class _LeaseCheck:
    """Chat needs its lease: what hangs on the way to the database shows here, when a new connection would still be answered."""

    name = "lease"

    def __init__(self, keeper: LeaseKeeper) -> None:
        self._keeper = keeper

    async def check(self) -> str | None:
        if self._keeper.is_kept:
            return None
        return (
            f"the database has not confirmed this process's lease for {self._keeper.unrenewed_seconds:.0f} s"
        )
