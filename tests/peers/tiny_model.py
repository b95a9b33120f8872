"""A language model of half a megabyte with random weights, as a file of llama.cpp's (GGUF, version 3).

What it writes means nothing; that it is sampled, counted and streamed by the real engine is the point. Greedy decoding
(temperature 0) never ends by itself, other sampling does after some dozens of tokens.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import random
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

CONTEXT_TOKENS = 16384

_WIDTH, _LAYERS, _HEADS, _INNER = 64, 2, 4, 128
_ALIGNMENT = 32
# Value types of the format.
_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9
# Kinds of tokens, as the tokenizer of Llama 2 has them.
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6

_WORDS = (
    "hola mundo la orden pendiente hay una de el que es inbound llega almacén pedido cliente y con para en "
    "hello world the model says test stream token yes no ok fine"
)
_TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"

Value = str | int | float | Sequence[str] | Sequence[int] | Sequence[float]


def write_tiny_model(path: Path) -> None:
    """Writes the model; the same bytes each time."""
    tokens = _tokens()
    tensors = list(_tensors([text for text, _, _ in tokens]))
    metadata = list(_metadata(tokens))
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, kind, value in metadata:
            file.write(_text(key) + struct.pack("<I", kind[0]) + _value(kind, value))
        offset = 0
        for name, shape, weights in tensors:
            header = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            file.write(_text(name) + header + struct.pack("<IQ", 0, offset))
            offset += len(_padded(weights.tobytes()))
        file.write(b"\0" * (-file.tell() % _ALIGNMENT))
        for _, _, weights in tensors:
            file.write(_padded(weights.tobytes()))


def _tokens() -> list[tuple[str, float, int]]:
    """Text, score and kind of each token: three special ones, the 256 bytes, the words, the printable characters."""
    bytes_ = [(f"<0x{byte:02X}>", 0.0, _BYTE) for byte in range(256)]
    pieces = (
        [f"\u2581{word}" for word in _WORDS.split()] + [chr(code) for code in range(33, 127)] + ["\u2581"]
    )
    normal = [(piece, -float(rank), _NORMAL) for rank, piece in enumerate(pieces)]
    return [("<unk>", 0.0, _UNKNOWN), ("<s>", 0.0, _CONTROL), ("</s>", 0.0, _CONTROL), *bytes_, *normal]


def _metadata(tokens: Sequence[tuple[str, float, int]]) -> Iterator[tuple[str, tuple[int, ...], Value]]:
    texts, scores, kinds = zip(*tokens, strict=True)
    yield "general.architecture", (_STRING,), "llama"
    yield "general.name", (_STRING,), "tiny-random"
    yield "llama.context_length", (_UINT32,), CONTEXT_TOKENS
    yield "llama.embedding_length", (_UINT32,), _WIDTH
    yield "llama.block_count", (_UINT32,), _LAYERS
    yield "llama.feed_forward_length", (_UINT32,), _INNER
    yield "llama.attention.head_count", (_UINT32,), _HEADS
    yield "llama.attention.head_count_kv", (_UINT32,), _HEADS
    yield "llama.attention.layer_norm_rms_epsilon", (_FLOAT32,), 1e-5
    yield "llama.rope.dimension_count", (_UINT32,), _WIDTH // _HEADS
    yield "llama.vocab_size", (_UINT32,), len(tokens)
    yield "tokenizer.ggml.model", (_STRING,), "llama"
    yield "tokenizer.ggml.tokens", (_ARRAY, _STRING), texts
    yield "tokenizer.ggml.scores", (_ARRAY, _FLOAT32), scores
    yield "tokenizer.ggml.token_type", (_ARRAY, _INT32), kinds
    yield "tokenizer.ggml.unknown_token_id", (_UINT32,), 0
    yield "tokenizer.ggml.bos_token_id", (_UINT32,), 1
    yield "tokenizer.ggml.eos_token_id", (_UINT32,), 2
    yield "tokenizer.chat_template", (_STRING,), _TEMPLATE


def _tensors(texts: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...], "array[float]"]]:
    """Name, shape (innermost first) and weights.

    No layer adds to the first two channels. One is the same for every token, so that a row of the output that looks at it
    alone gives its token about the same chance everywhere: the end of the text has such a row. The other one marks the end
    of the template, after which the text must not end at once.
    """
    source = random.Random(7)
    vocabulary = len(texts)

    def matrix(inner: int, outer: int, scale: float) -> "array[float]":
        return array("f", (source.gauss(0.0, scale) for _ in range(inner * outer)))

    embedding = matrix(_WIDTH, vocabulary, 1.0)
    embedding[0::_WIDTH] = array("f", [2.0]) * vocabulary
    embedding[1::_WIDTH] = array("f", [0.0]) * vocabulary
    embedding[texts.index(_TEMPLATE[-1]) * _WIDTH + 1] = 8.0
    yield "token_embd.weight", (_WIDTH, vocabulary), embedding
    for layer in range(_LAYERS):
        for name, inner, outer in (
            ("attn_q", _WIDTH, _WIDTH),
            ("attn_k", _WIDTH, _WIDTH),
            ("attn_v", _WIDTH, _WIDTH),
            ("attn_output", _WIDTH, _WIDTH),
            ("ffn_gate", _WIDTH, _INNER),
            ("ffn_up", _WIDTH, _INNER),
            ("ffn_down", _INNER, _WIDTH),
        ):
            weights = matrix(inner, outer, 0.5 / math.sqrt(inner))
            if name in ("attn_output", "ffn_down"):
                weights[: 2 * inner] = array("f", [0.0]) * (2 * inner)
            yield f"blk.{layer}.{name}.weight", (inner, outer), weights
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", (_WIDTH,), array("f", [1.0]) * _WIDTH
    yield "output_norm.weight", (_WIDTH,), array("f", [1.0]) * _WIDTH

    output = matrix(_WIDTH, vocabulary, 1.0 / math.sqrt(_WIDTH))
    first_word = 3 + 256
    # Bytes and special tokens are hardly ever chosen: their rows point away from what every state has.
    for token in range(first_word):
        output[token * _WIDTH] = -8.0
    output[2 * _WIDTH : 3 * _WIDTH] = array("f", [0.45, -8.0, *[0.0] * (_WIDTH - 2)])
    for token in range(first_word, vocabulary):
        output[token * _WIDTH : token * _WIDTH + 2] = array("f", [0.0, 0.0])
    yield "output.weight", (_WIDTH, vocabulary), output


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(kind: tuple[int, ...], value: Value) -> bytes:
    match kind, value:
        case (int(),), str():
            return _text(value)
        case (int(one),), int() | float():
            return struct.pack("<f" if one == _FLOAT32 else "<I", value)
        case (int(), int(item)), [*items]:
            encoded = b"".join(
                _text(each)
                if isinstance(each, str)
                else struct.pack("<f" if item == _FLOAT32 else "<i", each)
                for each in items
            )
            return struct.pack("<IQ", item, len(items)) + encoded
    raise TypeError(f"{kind} has no value like {value!r}")


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGNMENT)
