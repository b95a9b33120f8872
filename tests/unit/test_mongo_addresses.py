"""The address of a MongoDB, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chat.stores.mongo.opening import opened
from services.infra.mongo.client import Mongo
from services.infra.mongo.urls import read_address
from services.kernel.startup import StartupError
from services.settings import Settings


@pytest.mark.parametrize(
    ("url", "described", "database"),
    [
        ("mongodb://localhost", "mongodb://localhost/antiphon", "antiphon"),
        ("mongodb://db:27018/chats", "mongodb://db:27018/chats", "chats"),
        ("mongodb://ana:p%40ss@db/chats", "mongodb://ana@db/chats", "chats"),
        ("mongodb://ana:p@ss@db/chats", "mongodb://ana@db/chats", "chats"),
        ("mongodb://a:1,b:2,c:3/?replicaSet=rs", "mongodb://a:1,b:2,c:3/antiphon", "antiphon"),
        ("mongodb://[::1]:27017/", "mongodb://[::1]:27017/antiphon", "antiphon"),
        ("mongodb+srv://ana:x@cluster.example/chats?w=1", "mongodb+srv://ana@cluster.example/chats", "chats"),
        (" mongodb://db/chats\n", "mongodb://db/chats", "chats"),
    ],
)
def test_an_address_is_told_without_the_password(url: str, described: str, database: str) -> None:
    address = read_address(url)
    assert (address.described, address.database) == (described, database)
    assert repr(Mongo(url)) == f"Mongo({described})"


def test_the_options_of_an_address_are_known_whatever_their_case() -> None:
    assert read_address("mongodb://db/?W=1&socketTimeoutMS=5").options == {"w", "sockettimeoutms"}


@pytest.mark.parametrize(
    "url", ["", "postgresql://db/x", "mongodb://", "mongodb:///chats", "db:27017", "mongodb://ana:secret@/x"]
)
def test_what_is_no_address_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(StartupError) as refused:
        read_address(url)
    assert "MONGODB_URL" in refused.value.message
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["mongodb://ana:sec@ret@db/x", "mongodb://ana:secret@db:port/x"],
)
async def test_what_the_driver_refuses_is_not_quoted(url: str) -> None:
    with pytest.raises(StartupError) as refused:
        await Mongo(url).open(0.0)
    assert "secret" not in str(refused.value)
    assert "sec@ret" not in str(refused.value)


async def test_answers_that_a_document_may_have_no_room_for_are_refused(tmp_path: Path) -> None:
    environ = {
        "MONGODB_URL": "mongodb://127.0.0.1:9/chats",
        "ANTIPHON_CHAT__STORE": "mongo",
        "ANTIPHON_CHAT__MAX_ANSWER_BYTES": "5MiB",
    }
    settings = Settings.load(environ, cwd=tmp_path)
    with pytest.raises(StartupError) as refused:
        async with opened(settings, limits_key=b"", metrics=None):
            pass
    assert "16 MB" in refused.value.message
    assert "ANTIPHON_CHAT__MAX_ANSWER_BYTES" in refused.value.advice
