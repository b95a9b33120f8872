"""Who is left alone: endpoints that failed too often in a row, and models whose provider asked for a pause."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import IntEnum

from services.capabilities.upstream.errors import ProviderFailure, ProviderRateLimited, ProviderUnavailable
from services.chat.ports import CatalogModel

_LONGEST_PAUSE_SECONDS = 300.0
_PROBE_SECONDS = 1.0


class EndpointLeftAlone(ProviderUnavailable):
    """The endpoint is not asked, since it failed too often."""


class BreakerState(IntEnum):
    """Whether an endpoint is asked."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class _Endpoint:
    """One endpoint's failures in a row; `open_until` is None while it is asked. `era` tells attempts of before its last change, and
    `heard` when it last answered anybody."""

    __slots__ = ("era", "failures", "heard", "open_until", "probe")

    def __init__(self) -> None:
        self.failures = 0
        self.era = 0
        self.heard = float("-inf")
        self.open_until: float | None = None
        self.probe: Permit | None = None


class Permit:
    """The right to ask a model once. Its holder tells what came of it; `release` at the end frees it, whatever was told."""

    __slots__ = ("_asked", "_breakers", "_endpoint", "_era")

    def __init__(self, breakers: Breakers, endpoint: _Endpoint | None) -> None:
        self._breakers = breakers
        self._endpoint = endpoint
        self._era, self._asked = (0, 0.0) if endpoint is None else (endpoint.era, breakers.now())

    def began(self) -> None:
        """The answer has begun: for an endpoint that was being tried, this is enough."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        endpoint.heard = self._breakers.now()
        if endpoint.probe is self:
            self._close(endpoint)

    def succeeded(self) -> None:
        """The endpoint did what it was asked, or refused it properly."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        endpoint.heard = self._breakers.now()
        if endpoint.probe is self:
            self._close(endpoint)
        elif endpoint.era == self._era:
            endpoint.failures = 0

    def failed(self) -> None:
        """The endpoint did not answer, or not to the end."""
        endpoint = self._endpoint
        # What was asked before the endpoint was opened or closed tells nothing about it now.
        if endpoint is None or (endpoint.era != self._era and endpoint.probe is not self):
            return
        endpoint.failures += 1
        if endpoint.probe is self or endpoint.failures >= self._breakers.failures:
            endpoint.open_until = self._breakers.now() + self._breakers.cooldown
            endpoint.era += 1
            endpoint.probe = None

    def gave_up(self, fair: float) -> None:
        """The endpoint was silent until it was waited for no more, sooner than it may be silent. That is its failure if it had at least
        `fair` seconds and answered nobody else meanwhile: callers in a hurry must not take a sound endpoint from all others."""
        endpoint = self._endpoint
        if endpoint is None or endpoint.heard >= self._asked:
            return
        if self._breakers.now() - self._asked >= fair:
            self.failed()

    def release(self) -> None:
        """The attempt is over; when nothing was told of it, it counts for nothing."""
        if self._endpoint is not None and self._endpoint.probe is self:
            self._endpoint.probe = None

    def _close(self, endpoint: _Endpoint) -> None:
        endpoint.open_until = None
        endpoint.probe = None
        endpoint.failures = 0
        endpoint.era += 1
        self._era = endpoint.era


class Breakers:
    """A circuit breaker for each endpoint: after `failures` in a row it is left alone for `cooldown` seconds, then tried by one call
    at a time until one answers. Models without an endpoint have none, and with `failures` 0 no endpoint has.

    A pause that a provider asks for is one of its model at this endpoint, of five minutes at most.
    """

    def __init__(self, failures: int, cooldown: float, now: Callable[[], float] = time.monotonic) -> None:
        self.failures = failures
        self.cooldown = cooldown
        self.now = now
        self._endpoints: dict[str, _Endpoint] = {}
        self._pauses: dict[tuple[str, str], tuple[float, type[ProviderFailure]]] = {}

    def ask(self, model: CatalogModel) -> Permit:
        """The right to ask a model now. Raises EndpointLeftAlone, and for a pause ProviderUnavailable or ProviderRateLimited, with the
        time that is left."""
        if not model.endpoint:
            return Permit(self, None)
        if self._pauses:
            self._check_pause(model)
        if not self.failures:
            return Permit(self, None)
        endpoint = self._endpoints.get(model.endpoint)
        if endpoint is None:
            endpoint = self._endpoints[model.endpoint] = _Endpoint()
        if endpoint.open_until is None:
            return Permit(self, endpoint)
        left = endpoint.open_until - self.now()
        if left > 0 or endpoint.probe is not None:
            raise EndpointLeftAlone(
                "the model's provider failed too often lately, so it is left alone for a while; try again later",
                metadata=_about(model),
                retry_after=left if left > 0 else _PROBE_SECONDS,
            )
        permit = endpoint.probe = Permit(self, endpoint)
        return permit

    def leaves_alone(self, model: CatalogModel) -> bool:
        """Whether `ask` would refuse the model now."""
        until, _ = self._pauses.get((model.endpoint, model.upstream), (0.0, None))
        if until > self.now():
            return True
        endpoint = self._endpoints.get(model.endpoint)
        if endpoint is None or endpoint.open_until is None:
            return False
        return endpoint.open_until > self.now() or endpoint.probe is not None

    def pause(self, model: CatalogModel, error: ProviderFailure) -> None:
        """Leave a model alone for as long as its provider asked to."""
        if not model.endpoint or not error.asked_pause:
            return
        until = self.now() + min(error.asked_pause, _LONGEST_PAUSE_SECONDS)
        self._pauses[model.endpoint, model.upstream] = until, type(error)

    def states(self) -> Mapping[str, BreakerState]:
        """How each endpoint that was asked stands."""
        now = self.now()
        return {name: _state(endpoint, now) for name, endpoint in list(self._endpoints.items())}

    def _check_pause(self, model: CatalogModel) -> None:
        key = model.endpoint, model.upstream
        if key not in self._pauses:
            return
        until, kind = self._pauses[key]
        left = until - self.now()
        if left <= 0:
            del self._pauses[key]
            return
        limited = issubclass(kind, ProviderRateLimited)
        error = (ProviderRateLimited if limited else ProviderUnavailable)(
            "the model's provider asked for a pause, which is not over; try again later",
            metadata=_about(model),
            retry_after=left,
        )
        error.asked_pause = left
        raise error


def _state(endpoint: _Endpoint, now: float) -> BreakerState:
    if endpoint.open_until is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if endpoint.open_until > now else BreakerState.HALF_OPEN


def _about(model: CatalogModel) -> dict[str, str]:
    return {"model": model.name, "provider": model.provider_name}
