"""Puts Chat together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp

from services.capabilities.identity.deletions import SETTLE_SECONDS, DeletionFollower
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.limits import wiring as limits_wiring
from services.capabilities.metering.model import UsageEvent
from services.chat.generation.generations import Bounds, Generations
from services.chat.generation.leases import LeaseKeeper
from services.chat.generation.retention import keep_bounded
from services.chat.generation.writer import RecordWriter
from services.chat.providers.catalog import Endpoint, FileCatalog, load_catalog
from services.chat.providers.echo import EchoProvider
from services.chat.providers.openai import OpenAIProvider, Timeouts
from services.chat.servicer import ChatServicer, UseCases
from services.chat.stores.deletions import SqlDeletions
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.sessions import SqlSessionStore
from services.chat.stores.warming import warm
from services.chat.usecases.generations import CancelGeneration, FindGeneration, ResumeTokens, WatchGeneration
from services.chat.usecases.sessions import CreateSession, GetSession, ListMessages, ListSessions
from services.chat.usecases.start_chat import StartChat
from services.infra.postgres.checks import DatabaseCheck
from services.infra.postgres.database import Database
from services.kernel.paging import PageTokens
from services.kernel.secret import DeploymentSecret
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.settings import ChatSettings, Settings

NAME = "chat"

# Has every connection of the pool prepare the statements of a chat call.
warm_connection = warm


@asynccontextmanager
async def build(
    settings: Settings,
    database: Database,
    secret: DeploymentSecret,
    *,
    sole_owner: bool,
    environ: Mapping[str, str],
    revocations: RevocationSource,
    metrics: Metrics | None = None,
) -> AsyncIterator[Mounted]:
    """Chat on an open database, ready to be served; at the end its tasks are ended, and its lease is given up.

    `sole_owner` says that no other process can be at work on this database; `environ` has the keys that the catalog names;
    `revocations` tells who was deleted, and has to outlive the block.
    """
    chat = settings.chat
    records, sessions = SqlRecordStore(database), SqlSessionStore(database)
    keeper = LeaseKeeper(records, timedelta(seconds=chat.lease_ttl), sole_owner=sole_owner)
    writer = RecordWriter(records, keeper)
    bounds = Bounds(chat.total_timeout, chat.max_answer_bytes, chat.max_generations)
    generations = Generations(
        records, writer, keeper, bounds, _metered if settings.analytics.enabled else _unmetered
    )
    deletions = DeletionFollower(
        revocations,
        SqlDeletions(database, generations.cancel_soon),
        settle=SETTLE_SECONDS + settings.identity.offline_grace,
    )

    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        limits_wiring.build(
            settings.limits,
            database,
            NAME,
            key=secret.derive("chat.limits"),
            sole_owner=sole_owner,
            metrics=metrics,
        ) as limits,
    ):
        catalog = _catalog(chat, environ, http)
        tokens = ResumeTokens(secret.derive("chat.resume"))
        pages = PageTokens(secret.derive("chat.pages"))
        digest_key = secret.derive("chat.digests")
        find = FindGeneration(records, generations, tokens)
        get_session = GetSession(sessions)
        use = UseCases(
            start=StartChat(records, catalog, generations, keeper),
            watch=WatchGeneration(records, generations),
            find=find,
            cancel=CancelGeneration(find, records, generations),
            create_session=CreateSession(sessions, catalog, digest_key),
            get_session=get_session,
            list_sessions=ListSessions(sessions, pages),
            list_messages=ListMessages(get_session, sessions, pages),
        )
        servicer = ChatServicer(use, catalog, tokens, digest_key)
        await keeper.acquire()
        async with _running(
            writer=writer.run(),
            lease=keeper.run(generations),
            retention=keep_bounded(
                records, timedelta(seconds=chat.event_retention), timedelta(seconds=chat.answer_retention)
            ),
            deletions=deletions.run(),
        ) as tasks:
            try:
                await keeper.take_over(generations)
                yield Mounted(
                    name=NAME,
                    servicers={"antiphon.chat.v1.ChatService": servicer},
                    checks=(DatabaseCheck(database), _LeaseCheck(keeper), _TasksCheck(tasks)),
                    drain=generations.drain,
                    limits=limits,
                )
            finally:
                await generations.close()
        await keeper.release()


def _catalog(chat: ChatSettings, environ: Mapping[str, str], http: aiohttp.ClientSession) -> FileCatalog:
    timeouts = Timeouts(chat.connect_timeout, chat.first_token_timeout, chat.idle_timeout)
    keys = dict(environ)
    for name, value in (("OPENAI_API_KEY", chat.openai_api_key), ("GITHUB_TOKEN", chat.github_token)):
        if value is not None:
            keys[name] = value.get_secret_value()

    def make(endpoint: Endpoint, model: str) -> OpenAIProvider:
        return OpenAIProvider(http, endpoint.base_url, endpoint.key, timeouts, model, endpoint.name)

    base_urls = {"openai": chat.openai_base_url} if chat.openai_base_url else {}
    return load_catalog(chat.models_file, base_urls, keys, make, EchoProvider(chat.echo_interval_ms / 1000))


def _metered(event: UsageEvent) -> UsageEvent | None:
    return event


def _unmetered(event: UsageEvent) -> UsageEvent | None:
    return None


@asynccontextmanager
async def _running(**works: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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


class _TasksCheck:
    """Chat needs its writer, its lease, and what removes."""

    name = "tasks"

    def __init__(self, tasks: list[asyncio.Task[None]]) -> None:
        self._tasks = tasks

    async def check(self) -> str | None:
        ended = [task.get_name() for task in self._tasks if task.done()]
        return f"{', '.join(ended)} ended; restart the server" if ended else None
