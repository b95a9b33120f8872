"""What the log is told of a model that failed."""

from __future__ import annotations

import structlog

from services.capabilities.upstream.errors import ProviderFailure, ProviderProtocol, ProviderRefused

log = structlog.get_logger(__name__)


def tell_failure(event: str, error: ProviderFailure) -> None:
    """Of an attempt whose failure names the model in its metadata. No log has what people say: what a provider says of a request may repeat that,
    and so may what it sends in the place of its protocol."""
    log.warning(
        event,
        model=error.metadata["model"],
        reason=error.reason,
        detail=error.metadata.get("detail", ""),
        http_status=error.metadata.get("http_status", ""),
        said="" if isinstance(error, ProviderRefused | ProviderProtocol) else error.said,
        upstream_request_id=error.upstream_request_id,
    )
