"""What the operator set is fetched wherever it is, and neither waits for what strangers named nor is led on by it."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from services.infra.http.public import NotPublic, PublicFetch
from services.kernel.budget import ByteBudget
from tests.fakes.chat_play import until
from tests.fakes.image_upstream import hangs, image_upstream, redirects
from tests.fakes.public_hosts import IMAGE, INTERNET, NEAR, Names, get, internet


async def test_what_the_operator_set_may_be_anywhere_and_what_it_redirects_to_may_not() -> None:
    names = Names(own_example=[[INTERNET]], pictures_example=[[INTERNET]])
    async with internet(names) as (_, server):
        port = server.origin.rpartition(":")[2]
        strict = PublicFetch(is_public=lambda _: False, resolve=names)

        async def trusted(url: str, *, by: PublicFetch = strict) -> bytes:
            found = await by.fetch(
                url, limit=10, seconds=5, accept="*/*", authorization="Bearer x", trusted=True
            )
            return found.data

        try:
            for own in (f"http://127.0.0.1:{port}", f"http://own.example:{port}"):
                server.answers(IMAGE)
                assert await trusted(own + "/x") == b"an image"
                # It does not make others of its kind trusted, nor itself when others name it.
                with pytest.raises(NotPublic):
                    await get(strict, own)
                for elsewhere in ("/admin", own + "/admin", server.origin, "http://169.254.169.254/"):
                    server.asked.clear()
                    server.answers(redirects(elsewhere), IMAGE)
                    with pytest.raises(NotPublic):
                        await trusted(own)
                    assert len(server.asked) == 1
            for wrong in ("http://me:secret@127.0.0.1/", "file:///etc/passwd", ""):
                with pytest.raises(NotPublic):
                    await trusted(wrong)
        finally:
            await strict.aclose()


async def test_a_trusted_address_may_redirect_to_the_internet_without_its_credential() -> None:
    names = Names(own_example=[[NEAR, INTERNET]], pictures_example=[[INTERNET]])
    async with internet(names) as (fetch, server):
        own = server.origin.replace("pictures", "own")
        server.answers(redirects(server.origin), IMAGE)
        found = await fetch.fetch(
            own, limit=10, seconds=5, accept="*/*", authorization="Bearer x", trusted=True
        )
        assert found.data == b"an image"
    assert ["authorization" in asked.headers for asked in server.asked] == [True, False]


async def test_silent_names_of_strangers_hold_up_none_of_the_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered, asked = threading.Event(), list[str]()

    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        if host == "own.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        answered.wait(10)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with image_upstream() as server:
        server.answers(IMAGE)
        own = server.origin.replace("127.0.0.1", "own.example")
        fetch = PublicFetch()
        strangers = [
            asyncio.create_task(get(fetch, f"http://silent-{number}.example/")) for number in range(20)
        ]
        try:
            await until(lambda: len(asked) > 1)
            for free in ([own], []):
                found = await fetch.fetch(
                    own, limit=10, seconds=5, accept="*/*", free_origins=free, trusted=not free
                )
                assert found.data == b"an image"
        finally:
            answered.set()
            await asyncio.gather(*strangers, return_exceptions=True)
            await fetch.aclose()


async def test_as_much_is_fetched_at_once_as_is_wanted() -> None:
    async with internet(connect_seconds=0.5) as (fetch, server):
        server.answers(hangs())
        tasks = [asyncio.create_task(get(fetch, server.origin)) for _ in range(100)]
        try:
            await until(lambda: len(server.asked) == len(tasks), 20.0)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_fetched_is_held_in_the_share_that_it_is_for() -> None:
    budget = ByteBudget(8)
    async with internet() as (fetch, server):
        with budget.share() as share:
            found = await fetch.fetch(server.origin, limit=8, seconds=5, accept="*/*", share=share)
            assert budget.held_bytes == len(found.data)
        assert budget.held_bytes == 0
