"""Whether, and after which pause, a provider is asked once more that has failed."""

from __future__ import annotations

import random

from services.capabilities.upstream.errors import (
    ProviderFailure,
    ProviderRateLimited,
    ProviderUnavailable,
)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
# Whoever asks to be left alone for longer is not asked again in this call.
_LONGEST_ASKED_PAUSE = 20.0
_PASSING = (ProviderRateLimited, ProviderUnavailable)


def pause_before_repeating(error: ProviderFailure, attempt: int) -> float | None:
    """Seconds to wait before a provider that is busy or can't be reached is asked again, which it may choose itself; None for what another
    attempt does not cure, and for one that was silent: it may be at work, and be paid for it. `attempt` counts from 0."""
    if not isinstance(error, _PASSING):
        return None
    if error.asked_pause is not None:
        return None if error.asked_pause > _LONGEST_ASKED_PAUSE else max(0.0, error.asked_pause)
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
    return float(longest * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads attempts, and keeps no secret.
