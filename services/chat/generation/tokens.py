"""Estimates of token counts, for budgets and for providers that do not count."""

from __future__ import annotations

_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: a token per four bytes of UTF-8, which is near for English and high for most others."""
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    return -(-size // _BYTES_PER_TOKEN)


def estimate_message_tokens(text: str) -> int:
    """The same for a message, whose role and frame take a few more."""
    return _TOKENS_PER_MESSAGE + estimate_tokens(text)
