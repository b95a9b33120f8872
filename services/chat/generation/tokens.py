"""Estimates of token counts, offline and by family of tokenizer: for budgets, for CountTokens, and for providers that do not count.

No vocabulary is kept at run time. A text is described by some hundred counts (`token_features`), and their sum, each by the weight that
tools/token_calibration.py has found for the family, is the estimate. How far that is off, in percent of the true count, on texts of 40
to 4,000 characters in forty languages, code and data that the weights were not fitted on:

| Family | Models | Tokenizer of the calibration | Median | Nine of ten below |
|---|---|---|---|---|
| o200k | GPT-4o and later, o-series, gpt-oss | o200k_base | 4.9 | 15.4 |
| cl100k | GPT-4, GPT-3.5 | cl100k_base | 4.5 | 15.9 |
| llama | Llama 3 | Llama 3 | 4.9 | 16.6 |
| llama2 | Llama 2, Mistral 7B, Mixtral | Mistral v1 | 3.7 | 12.7 |
| llama4 | Llama 4 | Llama 4 | 5.0 | 15.3 |
| mistral | Mistral since NeMo | Tekken | 4.9 | 14.9 |
| qwen | Qwen | Qwen | 4.7 | 15.9 |
| deepseek | DeepSeek | DeepSeek | 4.9 | 15.1 |
| generic, gemma, claude | all others | all of the above at once | 9.5 | 32.6 |

The tokenizers of Gemma and Claude are not public in a form that could be measured here; for them the last line says how far apart the
known tokenizers are, which is a hint and no measurement. In a text of thousands of characters errors are smaller; in one of a few
words they are of a token or two.
"""

from __future__ import annotations

import math
from operator import mul

from services.chat.generation.families import GENERIC
from services.chat.generation.token_features import features
from services.chat.generation.token_weights import ERRORS, WEIGHTS

# Of a longer text this many characters are looked at, in this many pieces from all over it.
_SAMPLE = 4096
_PIECES = 8
_PIECE = _SAMPLE // _PIECES
# No text of a human language has longer tokens throughout, and no tokenizer makes more than a token of a byte.
_BYTES_PER_TOKEN = 12
_TOKENS_PER_MESSAGE = 4
# Those of a picture of 1024 x 1024 pixels, as the makers of the models say: OpenAI 85, and 170 for each of four tiles of 512 pixels; Claude one
# for 750 pixels; Gemini 258 for each of four tiles; Qwen one for a square of 28 pixels; Mistral one for a square of 16 pixels, and one for
# each row of them.
_PICTURE_TOKENS = {"o200k": 765, "cl100k": 765, "claude": 1398, "gemma": 1032, "qwen": 1369, "mistral": 4160}
# Of the others nothing is known, and so much is assumed.
_UNKNOWN_PICTURE_TOKENS = 1600

FAMILIES = (*(name for name in WEIGHTS if name != GENERIC), "gemma", "claude", GENERIC)


def estimate_tokens(text: str, family: str = "") -> int:
    """About how many tokens a text has for a family of FAMILIES, the generic one for any other: at least one unless it is empty, and
    never more than its bytes. What it costs is bounded, however long the text is."""
    if not text:
        return 0
    length = len(text)
    if length <= _SAMPLE:
        return _estimate(text, family, 1.0)
    # The pieces begin evenly spread, the first with the text, and the last ends with it.
    starts = (index * (length - _PIECE) // (_PIECES - 1) for index in range(_PIECES))
    sample = "".join([text[start : start + _PIECE] for start in starts])
    return _estimate(sample, family, length / _SAMPLE)


def estimate_message_tokens(text: str, family: str = "") -> int:
    """The same for a message, whose role and frame take a few more."""
    return _TOKENS_PER_MESSAGE + estimate_tokens(text, family)


def picture_tokens(family: str = "") -> int:
    """About how many tokens a picture has for a family, whatever is on it."""
    return _PICTURE_TOKENS.get(family, _UNKNOWN_PICTURE_TOKENS)


def error_percent(family: str) -> int:
    """What the error of nine of ten estimates stays below, in percent of the true count."""
    return math.ceil(ERRORS.get(family, ERRORS[GENERIC])[1])


def _estimate(text: str, family: str, scale: float) -> int:
    weights = WEIGHTS.get(family) or WEIGHTS[GENERIC]
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))
    found: float = sum(map(mul, features(text), weights))
    return math.ceil(min(max(found, 1.0, size / _BYTES_PER_TOKEN), size) * scale)
