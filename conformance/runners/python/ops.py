"""What the driver can tell the runner to do."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from antiphon_client import TLS, Retries
from antiphon_client._downloading import DownloadReader
from antiphon_client._record import RecordReader
from conformance.runners.python.faces import Face
from conformance.runners.python.messages import call_of, json_of
from conformance.runners.python.outcomes import Json, outcome
from conformance.runners.python.watched import Watch, watching

Tell = Callable[[Json], None]
"""Writes an event."""

_SECONDS = 60.0
_CHAT = "antiphon.chat.v1.ChatService"


class Ops:
    """The clients by their names, and what is done with them. `face` opens one."""

    def __init__(self, language: str, face: Callable[..., Face]) -> None:
        self._language = language
        self._face = face
        self._clients: dict[str, Face] = {}
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
        return {"language": self._language, "version": platform.python_version()}

    async def _ping(self, asked: Json, tell: Tell) -> Json:
        return {}

    async def _open(self, asked: Json, tell: Tell) -> Json:
        await self._close(asked, tell)
        files, tries = asked.get("tls"), asked.get("retries")
        self._clients[asked["client"]] = self._face(
            asked["address"],
            token=asked.get("token"),
            refresh_token=asked.get("refresh_token"),
            tls=None if files is None else _tls(files),
            retries=None if tries is None else Retries(attempts=tries, resume_attempts=tries),
        )
        return {}

    async def _close(self, asked: Json, tell: Tell) -> Json:
        client = self._clients.pop(asked["client"], None)
        if client is not None:
            await client.close()
        return {}

    async def _login(self, asked: Json, tell: Tell) -> Json:
        client, seen = self._clients[asked["client"]], Json()

        async def login() -> None:
            seen["user"] = json_of((await client.login(asked["email"], asked["password"])).user)

        return await outcome(_watch("antiphon.auth.v1.AuthService/Login"), login(), seen)

    async def _token(self, asked: Json, tell: Tell) -> Json:
        return {"access_token": await self._clients[asked["client"]].token()}

    async def _call(self, asked: Json, tell: Tell) -> Json:
        client, seen = self._clients[asked["client"]], Json()
        call = call_of(asked["method"], asked.get("request", {}))

        async def unary() -> None:
            seen["response"] = json_of(await client.unary(call, _seconds(asked)))

        return await outcome(_watch(asked["method"], asked.get("metadata")), unary(), seen)

    async def _stream(self, asked: Json, tell: Tell) -> Json:
        client, seen = self._clients[asked["client"]], {"count": 0}
        call = call_of(asked["method"], asked.get("request", {}))

        async def read() -> None:
            async with client.stream(call, _seconds(asked)) as responses:
                async for response in responses:
                    seen["count"] += 1
                    tell(json_of(response))
                    if seen["count"] == asked.get("take"):
                        break

        return await outcome(_watch(asked["method"], asked.get("metadata")), read(), seen)

    async def _answer(self, asked: Json, tell: Tell) -> Json:
        return await self._events(asked, tell, RecordReader(call_of(f"{_CHAT}/StreamChat", asked["request"])))

    async def _resume(self, asked: Json, tell: Tell) -> Json:
        reader = RecordReader(
            generation_id=asked["generation_id"],
            after_seq=int(asked.get("after_seq", 0)),
            resume_token=asked.get("resume_token", ""),
        )
        return await self._events(asked, tell, reader)

    async def _events(self, asked: Json, tell: Tell, reader: RecordReader) -> Json:
        seen: Json = {"text": "", "count": 0, "reconnects": 0}

        def reconnects(_: object) -> None:
            seen["reconnects"] += 1

        stream = self._clients[asked["client"]].answer(reader, _seconds(asked), reconnects)

        async def read() -> None:
            async with stream:
                async for event in stream:
                    seen["count"] += 1
                    seen["text"] += event.text_delta.text
                    tell(json_of(event))
                    if seen["count"] == asked.get("take"):
                        break

        return await outcome(_watch(f"{_CHAT}/StreamChat"), read(), seen)

    async def _pages(self, asked: Json, tell: Tell) -> Json:
        client, seen = self._clients[asked["client"]], Json(items=[], pages=0)
        call = call_of(asked["method"], asked.get("request", {}))

        async def read() -> None:
            async for page in client.pages(call, _SECONDS):
                seen["pages"] += 1
                seen["items"] += [json_of(each) for each in getattr(page, asked["items"])]

        return await outcome(_watch(asked["method"]), read(), seen)

    async def _download(self, asked: Json, tell: Tell) -> Json:
        digest, seen = hashlib.sha256(), Json(bytes=0)
        reader = DownloadReader(call_of(asked["method"], asked["request"]), asked["method"])
        download = self._clients[asked["client"]].download(reader, _SECONDS)

        async def read() -> None:
            async with download:
                async for chunk in download:
                    digest.update(chunk)
                    seen["bytes"] += len(chunk)
            seen["sha256"] = digest.hexdigest()
            seen["told_sha256"], seen["content_type"] = reader.sha256, reader.content_type

        return await outcome(_watch(asked["method"]), read(), seen)

    async def _bench(self, asked: Json, tell: Tell) -> Json:
        client, end, counts = self._clients[asked["client"]], time.monotonic() + asked["seconds"], [0]
        profile = call_of("antiphon.auth.v1.AuthService/GetProfile", {})
        words = {"message": " ".join(["word"] * 200), "model": "echo"}

        async def unary() -> None:
            while time.monotonic() < end:
                await client.unary(profile, _SECONDS)
                counts[0] += 1

        async def stream() -> None:
            while time.monotonic() < end:
                reader = RecordReader(call_of(f"{_CHAT}/StreamChat", words))
                async with client.answer(reader, None, lambda _: None) as events:
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
