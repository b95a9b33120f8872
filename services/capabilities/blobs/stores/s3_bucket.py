"""A bucket that is made where it is not there yet, and a server that is tried before it is relied on."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from xml.sax.saxutils import escape

from services.capabilities.blobs.errors import StoreAway, StoreRefuses
from services.capabilities.blobs.stores.s3 import PROBE, S3Blobs
from services.capabilities.blobs.stores.s3_account import S3Account
from services.capabilities.blobs.stores.s3_failures import NoSuchObject, Unmet, failure_of

_LONGEST_ANSWER = 64 * 1024
_FIRST_REGION = "us-east-1"


async def make_bucket(account: S3Account) -> None:
    """Make the bucket; one that we have already is as good. Raises what `blobs.errors` has."""
    import aiohttp
    import obstore
    from yarl import URL

    # The client makes no buckets, and signs the one request that does.
    address = await obstore.sign_async(account.client(), "PUT", "", timedelta(seconds=account.timeout + 60))
    timeout = aiohttp.ClientTimeout(account.timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
            http.put(URL(address, encoded=True), data=_wanted(account.region)) as answer,
        ):
            status, said = (
                answer.status,
                (await answer.content.read(_LONGEST_ANSWER)).decode(errors="replace"),
            )
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError):
        raise StoreAway("The object store went away while its bucket was being made.") from None
    if status >= 300 and "BucketAlreadyOwnedByYou" not in said:
        failure = failure_of(said, status)
        if isinstance(failure, NoSuchObject | Unmet):
            raise StoreRefuses("The bucket of the object store could not be made.", "Make it by hand.")
        raise failure


async def try_conditions(blobs: S3Blobs) -> None:
    """See whether the server heeds the conditions of writes: one that ignores them would lose what several processes write at once.

    Raises StoreRefuses, and what else `blobs.errors` has.
    """
    key = f"{PROBE}-{secrets.token_hex(8)}"
    try:
        held = [
            await blobs.put_if(key, b"1", "text/plain", "create"),
            not await blobs.put_if(key, b"2", "text/plain", "create"),
            not await blobs.put_if(key, b"3", "text/plain", {"e_tag": f'"{"0" * 32}"'}),
        ]
    finally:
        await blobs.remove([key])
    if not all(held):
        raise StoreRefuses(
            "The object store ignores the conditions of writes.",
            "It needs to heed If-Match and If-None-Match; use a newer or another server.",
        )


def _wanted(region: str) -> bytes:
    if region == _FIRST_REGION:
        return b""
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    return (
        f'<CreateBucketConfiguration xmlns="{xmlns}"><LocationConstraint>{escape(region)}</LocationConstraint>'
        "</CreateBucketConfiguration>"
    ).encode()
