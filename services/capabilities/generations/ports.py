"""What generations need from the service that uses them, as promises."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from services.capabilities.generations.model import End, G


class GenerationStore(Protocol[G]):
    """The generations of a service, and whose they are. All methods raise Unavailable.

    A generation runs under an owner, one process's id, until that has not renewed it for its time to live. All ends of a
    generation are conditional on it running, so that it ends once.
    """

    async def begin(self, owner_id: str, ttl: timedelta, generation: G, digest: bytes) -> str | None:
        """Record that a generation runs, with the claim of its request_id if it has one; one transaction. None when it was begun; the id
        of the earlier generation whose claim it is, and then nothing is changed. Raises AlreadyExists (REQUEST_ID_REUSED) when that
        had another body."""
        ...

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        """The id of the generation that holds the claim, if any. Raises AlreadyExists as `begin`."""
        ...

    async def generation(self, generation_id: str) -> G | None:
        """A generation, whoever runs it."""
        ...

    async def renew(self, owner_id: str, ttl: timedelta, generation_ids: Collection[str]) -> None:
        """These generations, as far as they run under this owner, are its own for `ttl` more, on the database's clock. Others of its
        generations are not: what it does not know of any more is for whoever ends what is silent. The database is asked also for none:
        who renews learns from it that others could."""
        ...

    async def silent(self, limit: int, *, but: str = "") -> Sequence[G]:
        """Running generations whose owner has not renewed them in time; with `but`, all running ones of other owners than this."""
        ...


class Ender(Protocol[G]):
    """How a service records that a generation has ended without a result. Both methods raise Unavailable."""

    async def ended(self, end: End[G], *, silent: bool) -> bool:
        """The generation has ended so; one transaction with the usage event of what was used, its claim is given up, and its objects are to be
        removed where the end says so. False when it does not run any more, and then nothing is changed; with `silent` also when its owner
        has renewed it in time."""
        ...

    async def discarded(self, generation_id: str) -> None:
        """Have the objects of a generation removed, and once more later, that somebody else had ended before they were written."""
        ...
