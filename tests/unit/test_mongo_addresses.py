"""The address of a MongoDB, and what is told of it."""

from __future__ import annotations

import pytest

from services.infra.mongo.client import Mongo
from services.infra.mongo.urls import read_address
from services.kernel.startup import StartupError


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
