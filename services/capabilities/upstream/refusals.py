"""What a provider's answer over HTTP means that is not the one that was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from services.capabilities.upstream.addresses import without_addresses
from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderFailure,
    ProviderModelGone,
    ProviderRateLimited,
    ProviderRefused,
    ProviderUnavailable,
)

_SAID_LENGTH = 300
_READ_LENGTH = 2000
_DEFAULT_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 3600.0
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
# Codes by which endpoints say with HTTP 400 that they do not have a model.
_GONE = frozenset({"model_not_found", "unknown_model"})
# Codes by which they say with HTTP 429 that nothing is left of what was paid for, which no pause cures.
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with another status than 200: its headers, and the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def failure(self, model: str, key: str | None) -> ProviderFailure:
        """What it means for a call of `model`, the catalog's name. The `key` that was sent is struck out of what the provider said, and of what
        callers are told so is every address."""
        words, code = said_in(self.body)
        error = self._meant(model, struck(words, key, addresses=False), code)
        error.said = struck(words, key)
        error.provider_code = code if _CODE.fullmatch(code) else ""
        error.metadata["http_status"] = str(self.status)
        return error

    def _meant(self, model: str, said: str, code: str) -> ProviderFailure:
        status = self.status
        if status == 429 and code in _SPENT:
            return ProviderCredential(
                "this deployment has used up what its model's provider allows it; its operator has to look after it"
            )
        if status in (401, 402, 403):
            return ProviderCredential(
                "the model's provider did not accept this deployment's key; its operator has to look after it"
            )
        if status in (404, 410) or (status == 400 and code in _GONE):
            return ProviderModelGone(
                f"the model {model!r} is not ready: its provider does not have it (HTTP {status}); choose another model",
                metadata={"detail": "correct its `upstream`, or its provider's `base_url`, in the catalog"},
            )
        if 300 <= status < 400:
            return ProviderModelGone(
                f"the model {model!r} is not ready: its provider is elsewhere (HTTP {status}); choose another model",
                metadata={
                    "detail": "correct its provider's `base_url` in the catalog: redirects are not followed"
                },
            )
        if status == 429 or status in (408, 409, 425) or status >= 500:
            return self._passing()
        # What is wrong with the request is the caller's business, so the provider's words are passed on.
        return ProviderRefused(
            f"the model's provider refused the request (HTTP {status}){': ' + said if said else ''}"
        )

    def _passing(self) -> ProviderFailure:
        """What is different later."""
        error: ProviderFailure
        status = self.status
        asked = retry_after(self.headers.get("Retry-After", "")) if status in (429, 503) else None
        if asked is None and status == 503:
            asked = _loaded_in(self.body)
        if status == 429:
            error = ProviderRateLimited(
                "the model's provider limits this deployment; try again later",
                retry_after=_DEFAULT_RETRY_SECONDS if asked is None else asked,
            )
        else:
            default = _DEFAULT_RETRY_SECONDS if status == 503 else 1.0
            error = ProviderUnavailable(
                f"the model's provider failed (HTTP {status}); try again",
                retry_after=default if asked is None else asked,
            )
        error.asked_pause = asked
        return error


def said_in(body: bytes) -> tuple[str, str]:
    """The provider's own words for a failure, in one line, and its code; empty when there are none that can be understood."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    code = error.get("code") if isinstance(error, dict) else None
    return words_of(error), code if isinstance(code, str) else ""


def words_of(error: object) -> str:
    """The same words, of an error that was read already."""
    text = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return readable(text, _READ_LENGTH) if isinstance(text, str) else ""


def _loaded_in(body: bytes) -> float | None:
    """Seconds until the model is loaded, as Hugging Face tells them."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    seconds = parsed.get("estimated_time") if isinstance(parsed, dict) else None
    return _bounded(seconds) if isinstance(seconds, int | float) else None


def readable(text: str, most: int) -> str:
    """The first `most` characters in one line. A provider's words go into logs, statuses and the store, none of which takes every
    character."""
    return " ".join("".join(one if one.isprintable() else " " for one in text[:most]).split())


def struck(text: str, key: str | None, *, addresses: bool = True) -> str:
    """What a provider said, in short, and without the key: some repeat it; with `addresses` or without them. It is struck out first, so that no cut leaves
    a part of it."""
    text = text.replace(key, "…") if key else text
    return (text if addresses else without_addresses(text))[:_SAID_LENGTH]


def retry_after(text: str) -> float | None:
    """Seconds from the header, which has seconds or a date (RFC 9110 §10.2.3), at most an hour; None when it says nothing."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return _bounded(seconds)


def _bounded(seconds: float) -> float | None:
    return min(max(seconds, 0.0), _LONGEST_RETRY_SECONDS) if isfinite(seconds) else None
