"""Outcomes, as the protocol has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from antiphon_client.errors import AntiphonError
from conformance.runners.python.watched import Watch

Json = dict[str, Any]


async def outcome(watch: Watch, work: Awaitable[None], seen: Json) -> Json:
    """What became of the work, with what it has `seen` by its end."""
    told: Json = {"ok": True}
    try:
        await work
    except AntiphonError as failure:
        told = {"ok": False, "error": _error(failure)}
    except asyncio.CancelledError:
        told = {
            "ok": False,
            "error": {"code": "CANCELLED", "message": "the caller cancelled", "reason": ""},
        }
    await watch.end()
    return {
        **told,
        **seen,
        "headers": watch.headers,
        "trailers": watch.trailers,
        "tries": watch.tries,
    }


def _error(failure: AntiphonError) -> Json:
    told: Json = {"code": failure.code.name, "message": failure.message, "reason": failure.reason}
    if failure.domain:
        told["domain"] = failure.domain
    if failure.metadata:
        told["metadata"] = failure.metadata
    if failure.violations:
        told["violations"] = [
            {"field": each.field, "description": each.description} for each in failure.violations
        ]
    if failure.retry_after is not None:
        told["retry_after_ms"] = round(failure.retry_after * 1000)
    if failure.quotas:
        told["quotas"] = [
            {"subject": each.subject, "description": each.description} for each in failure.quotas
        ]
    if failure.resource is not None:
        told["resource"] = {"type": failure.resource.type, "name": failure.resource.name}
    return told
