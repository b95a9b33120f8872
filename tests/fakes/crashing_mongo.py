"""A MongoDB whose user crashes: after so many writes nothing more of theirs reaches it."""

from __future__ import annotations

from typing import Any

from services.infra.mongo.client import Mongo

_WRITES = frozenset(
    (
        "bulk_write",
        "delete_many",
        "delete_one",
        "find_one_and_update",
        "insert_many",
        "insert_one",
        "replace_one",
        "update_many",
        "update_one",
    )
)


class Crashed(Exception):
    """The process is no more."""


class CrashingMongo:
    """In the place of a `Mongo` that is open. It does `writes` more writes; the next one, and whatever follows, is Crashed."""

    def __init__(self, mongo: Mongo, writes: int) -> None:
        self.left = writes
        self.crashed = False
        self._mongo = mongo

    @property
    def database(self) -> Any:
        """As of Mongo."""
        return self

    def __getitem__(self, name: str) -> Any:
        return _Collection(self._mongo[name], self)

    def before(self, is_write: bool) -> None:
        """Something is to be done."""
        self.crashed = self.crashed or (is_write and self.left == 0)
        if self.crashed:
            raise Crashed
        self.left -= is_write


class _Collection:
    def __init__(self, collection: Any, mongo: CrashingMongo) -> None:
        self._collection = collection
        self._mongo = mongo

    def __getattr__(self, name: str) -> Any:
        if name.startswith("find") and name not in _WRITES:
            self._mongo.before(False)
            return getattr(self._collection, name)
        done = getattr(self._collection, name)

        async def do(*arguments: Any, **options: Any) -> Any:
            self._mongo.before(name in _WRITES)
            return await done(*arguments, **options)

        return do
