"""What the log is told of a model that failed."""

from __future__ import annotations

import structlog

from services.capabilities.upstream.errors import ProviderFailure

log = structlog.get_logger(__name__)


def tell_failure(event: str, error: ProviderFailure, **about: object) -> None:
    """Of an attempt whose failure names the model in its metadata, or of a model that `about` names."""
    log.warning(
        event,
        **{
            "model": error.metadata.get("model", ""),
            "reason": error.reason,
            "detail": error.metadata.get("detail", ""),
            "http_status": error.metadata.get("http_status", ""),
            "provider_code": error.provider_code,
            "said": error.loggable,
            "upstream_request_id": error.upstream_request_id,
            **about,
        },
    )
