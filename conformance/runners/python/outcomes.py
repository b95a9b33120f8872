"""Outcomes, as the protocol has them."""

from __future__ import annotations

from typing import Any

from antiphon_client.errors import AntiphonError
from conformance.runners.python.watched import Watch

Json = dict[str, Any]


def succeeded(watch: Watch, **fields: Any) -> Json:
    """A call that succeeded."""
    return {"ok": True, **fields, **_seen(watch)}


def failed(watch: Watch, failure: AntiphonError, **fields: Any) -> Json:
    """A call that failed."""
    return {"ok": False, "error": _error(failure), **fields, **_seen(watch)}


def cancelled(watch: Watch, **fields: Any) -> Json:
    """A call that its caller has cancelled."""
    error = {"code": "CANCELLED", "message": "the caller cancelled", "reason": ""}
    return {"ok": False, "error": error, **fields, **_seen(watch)}


def _seen(watch: Watch) -> Json:
    return {"headers": watch.headers, "trailers": watch.trailers, "tries": watch.tries}


def _error(failure: AntiphonError) -> Json:
    told: Json = {"code": failure.code.name, "message": failure.message, "reason": failure.reason}
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
