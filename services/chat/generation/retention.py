"""What need not be kept for ever: events whose message exists, answers that belong to no session, and request_ids that nobody will repeat."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from services.chat.ports import RecordStore
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

_AT_ONCE = 200
_CLAIM_RETENTION = timedelta(days=7)
_INTERVAL_SECONDS = 60.0


async def keep_bounded(store: RecordStore, event_retention: timedelta, answer_retention: timedelta) -> None:
    """Remove events, and answers without a session, that are older than that, every minute, until cancelled. Safe to run in every replica."""
    while True:
        try:
            while await store.prune(event_retention, _AT_ONCE) == _AT_ONCE:
                pass
            while await store.forget_answers(answer_retention, _AT_ONCE) == _AT_ONCE:
                pass
            while await store.forget_claims(_CLAIM_RETENTION):
                pass
        except ServiceError as error:
            log.warning("old records could not be removed; trying again later", error=error.message)
        except Exception:
            log.exception("old records could not be removed; trying again later")
        await asyncio.sleep(_INTERVAL_SECONDS)
