"""What the driver can tell the runner to do."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from antiphon_client import TLS, AsyncClient
from antiphon_client._async_download import AsyncDownload
from antiphon_client._async_stream import AsyncStream
from antiphon_client._downloading import DownloadReader
from antiphon_client._options import Address, Keepalive, Retries
from antiphon_client._record import RecordReader
from antiphon_client._retry import Deadline
from antiphon_client._tokens import store_of
from antiphon_client.errors import AntiphonError
from conformance.runners.python.messages import call_of, json_of
from conformance.runners.python.outcomes import Json, cancelled, failed, succeeded
from conformance.runners.python.watched import Watch, WatchedTransport, watching

Tell = Callable[[Json], None]
"""Writes an event."""

_SECONDS = 60.0
_CHAT = "antiphon.chat.v1.ChatService"


class WatchedClient(AsyncClient):
    """A client whose transport is watched."""

    def __init__(
        self, server: str, token: str, refresh_token: str, tls: TLS | None, retries: Retries
    ) -> None:
        super().__init__(server, retries=retries, tls=tls)
        self.transport = WatchedTransport(
            Address.of(server, tls), Keepalive(), retries, store_of(token, refresh_token, None)
        )
        self._transport = self.transport


class Ops:
    """The clients by their names, and what is done with them."""

    def __init__(self) -> None:
        self._clients: dict[str, WatchedClient] = {}
        self.table: dict[str, Callable[[Json, Tell], Awaitable[Json]]] = {
            "hello": self._hello,
            "open": self._open,
            "login": self._login,
            "token": self._token,
            "call": self._call,
            "stream": self._stream,
            "answer": self._answer,
            "resume": self._resume,
            "pages": self._pages,
            "download": self._download,
            "bench": self._bench,
            "close": self._close,
            "ping": self._ping,
        }

    async def end(self) -> None:
        """Close what is open."""
        for client in self._clients.values():
            await client.close()

    async def _hello(self, asked: Json, tell: Tell) -> Json:
        return {"language": "python", "version": platform.python_version()}

    async def _ping(self, asked: Json, tell: Tell) -> Json:
        return {}

    async def _open(self, asked: Json, tell: Tell) -> Json:
        await self._close(asked, tell)
        files, tries = asked.get("tls"), asked.get("retries")
        tls = None if files is None else _tls(files)
        retries = Retries() if tries is None else Retries(attempts=tries, resume_attempts=tries)
        self._clients[asked["client"]] = WatchedClient(
            asked["address"], asked.get("token", ""), asked.get("refresh_token", ""), tls, retries
        )
        return {}

    async def _close(self, asked: Json, tell: Tell) -> Json:
        client = self._clients.pop(asked["client"], None)
        if client is not None:
            await client.close()
        return {}

    async def _login(self, asked: Json, tell: Tell) -> Json:
        client, watch = self._clients[asked["client"]], _watch("antiphon.auth.v1.AuthService/Login")
        try:
            told = await client.login(asked["email"], asked["password"])
        except AntiphonError as failure:
            return failed(watch, failure)
        return {**succeeded(watch), "user": json_of(told.user)}

    async def _token(self, asked: Json, tell: Tell) -> Json:
        return {"access_token": await self._clients[asked["client"]].access_token()}

    async def _call(self, asked: Json, tell: Tell) -> Json:
        client, watch = self._clients[asked["client"]], _watch(asked["method"], asked.get("metadata"))
        call = call_of(asked["method"], asked.get("request", {}))
        try:
            response = await client.transport.unary(call, _seconds(asked))
        except AntiphonError as failure:
            return failed(watch, failure)
        except asyncio.CancelledError:
            return cancelled(watch)
        return succeeded(watch, response=json_of(response))

    async def _stream(self, asked: Json, tell: Tell) -> Json:
        transport = self._clients[asked["client"]].transport
        watch, count = _watch(asked["method"], asked.get("metadata")), 0
        call = call_of(asked["method"], asked.get("request", {}))
        made = None
        try:
            made = transport.open(
                call, await transport.token(call, "", Deadline(_seconds(asked))), _seconds(asked)
            )
            async for response in made:
                count += 1
                tell(json_of(response))
                if count == asked.get("take"):
                    break
            else:
                await watch.end()
        except asyncio.CancelledError:
            return cancelled(watch, count=count)
        except AntiphonError as failure:
            return failed(watch, failure, count=count)
        except grpc.RpcError as error:
            await watch.end()
            return failed(watch, transport.failure(error), count=count)
        finally:
            if made is not None:
                made.cancel()
        return succeeded(watch, count=count)

    async def _answer(self, asked: Json, tell: Tell) -> Json:
        call = call_of(f"{_CHAT}/StreamChat", asked["request"])
        return await self._events(asked, tell, RecordReader(call))

    async def _resume(self, asked: Json, tell: Tell) -> Json:
        reader = RecordReader(
            generation_id=asked["generation_id"],
            after_seq=int(asked.get("after_seq", 0)),
            resume_token=asked.get("resume_token", ""),
        )
        return await self._events(asked, tell, reader)

    async def _events(self, asked: Json, tell: Tell, reader: RecordReader) -> Json:
        watch, texts, seen = _watch(f"{_CHAT}/StreamChat"), [""], {"count": 0, "reconnects": 0}

        def reconnects(_: object) -> None:
            seen["reconnects"] += 1

        stream = AsyncStream(self._clients[asked["client"]].transport, reader, _seconds(asked), reconnects)
        try:
            async with stream:
                async for event in stream:
                    seen["count"] += 1
                    texts.append(event.text_delta.text)
                    tell(json_of(event))
                    if seen["count"] == asked.get("take"):
                        break
        except AntiphonError as failure:
            await watch.end()
            return failed(watch, failure, text="".join(texts), **seen)
        except asyncio.CancelledError:
            return cancelled(watch, text="".join(texts), **seen)
        await watch.end()
        return succeeded(watch, text="".join(texts), **seen)

    async def _pages(self, asked: Json, tell: Tell) -> Json:
        client, watch = self._clients[asked["client"]], _watch(asked["method"])
        request, items, pages = dict(asked.get("request", {})), [], 0
        try:
            while True:
                call = call_of(asked["method"], request)
                response: Any = await client.transport.unary(call, _SECONDS)
                pages += 1
                items += [json_of(each) for each in getattr(response, asked["items"])]
                if not response.next_page_token:
                    return succeeded(watch, items=items, pages=pages)
                request.pop("skip", None)
                request.pop("pageToken", None)
                request["page_token"] = response.next_page_token
        except AntiphonError as failure:
            return failed(watch, failure, items=items, pages=pages)

    async def _download(self, asked: Json, tell: Tell) -> Json:
        client, watch = self._clients[asked["client"]], _watch(asked["method"])
        call = call_of(asked["method"], asked["request"])
        digest, size = hashlib.sha256(), 0
        download = AsyncDownload(client.transport, DownloadReader(call, asked["method"]), _SECONDS)
        try:
            async with download:
                async for chunk in download:
                    digest.update(chunk)
                    size += len(chunk)
        except AntiphonError as failure:
            return failed(watch, failure)
        except asyncio.CancelledError:
            return cancelled(watch)
        return succeeded(
            watch,
            bytes=size,
            sha256=digest.hexdigest(),
            told_sha256=download.sha256,
            content_type=download.content_type,
        )

    async def _bench(self, asked: Json, tell: Tell) -> Json:
        client, end, counts = self._clients[asked["client"]], time.monotonic() + asked["seconds"], [0]
        profile = call_of("antiphon.auth.v1.AuthService/GetProfile", {})

        async def unary() -> None:
            while time.monotonic() < end:
                await client.transport.unary(profile, _SECONDS)
                counts[0] += 1

        async def stream() -> None:
            while time.monotonic() < end:
                async with client.stream(" ".join(["word"] * 200), model="echo") as events:
                    async for _ in events:
                        counts[0] += 1
                        if time.monotonic() >= end:
                            break

        began = time.monotonic()
        at_work = unary if asked["kind"] == "unary" else stream
        await asyncio.gather(*(at_work() for _ in range(asked["concurrency"])))
        return {"count": counts[0], "seconds": time.monotonic() - began}


def _watch(method: str, metadata: dict[str, str] | None = None) -> Watch:
    """The op's watch, which every call of its task adds to."""
    watch = Watch(f"/{method}", metadata or {})
    watching.set(watch)
    return watch


def _seconds(asked: Json) -> float:
    return asked["deadline_ms"] / 1000 if "deadline_ms" in asked else _SECONDS


def _tls(files: Json) -> TLS:
    certificate, key = files.get("certificate"), files.get("key")
    return TLS(
        roots=Path(files["ca"]).read_bytes(),
        certificate=Path(certificate).read_bytes() if certificate else None,
        key=Path(key).read_bytes() if key else None,
        server_name=files.get("server_name", ""),
    )
