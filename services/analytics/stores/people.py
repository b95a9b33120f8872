"""People who were deleted, as Analytics remembers them: by a digest, so that the memory does not name them."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from services.infra.postgres.database import Connection


def digest_of(user_id: str) -> bytes:
    """What a person is remembered by."""
    return blake2b(user_id.encode(errors="backslashreplace"), digest_size=16, person=b"user").digest()


async def forgotten(connection: Connection, user_ids: Collection[str]) -> set[str]:
    """Those of these people who were deleted."""
    digests = {digest_of(user_id): user_id for user_id in user_ids if user_id}
    if not digests:
        return set()
    cursor = await connection.execute(
        "select user_digest from analytics.forgotten where user_digest = any (%s::bytea[])", (list(digests),)
    )
    return {digests[row[0]] for row in await cursor.fetchall()}
