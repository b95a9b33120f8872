"""Families of tokenizers, and which of them a model's name points to."""

from __future__ import annotations

import re

GENERIC = "generic"

# The first that fits, in the name without the folders before it: names of derived models often say two things, and say first whose
# tokenizer they have last, as in deepseek-r1-distill-qwen.
_SIGNS = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"distill-qwen", "qwen"),
        (r"distill-llama", "llama"),
        (r"gpt-?4o|gpt-?4\.[1-9]|gpt-?[5-9]|gpt-?oss|chatgpt-4o|^o[1-9](?![0-9a-z])", "o200k"),
        (r"gpt-?4|gpt-?3\.?5|gpt-35", "cl100k"),
        (r"llama-?4", "llama4"),
        (r"llama-?2|codellama|tinyllama|vicuna|mixtral|mistral-?7b", "llama2"),
        (r"deepseek", "deepseek"),
        (r"qwen|qwq|qvq", "qwen"),
        (r"mistral|ministral|magistral|devstral|pixtral|codestral|voxtral", "mistral"),
        (r"llama|hermes", "llama"),
        (r"gemma|gemini", "gemma"),
        (r"claude", "claude"),
    )
)


def family_of(upstream: str) -> str:
    """The family of a model, by the name that its provider knows it by, such as `openai/gpt-4o` or `llama3.2:3b`."""
    name = upstream.lower().rstrip("/").rpartition("/")[2]
    return next((family for pattern, family in _SIGNS if pattern.search(name)), GENERIC)
