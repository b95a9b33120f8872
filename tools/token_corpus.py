"""The texts that tools/token_calibration.py measures estimates on: what an ordinary Linux machine has, in some forty languages."""

from __future__ import annotations

import ast
import base64
import gettext
import hashlib
import json
import random
import re
import sysconfig
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Languages of /usr/share/locale; `en` is what programs have without a catalog.
LANGUAGES = "ar bg bn ca cs da de el es et fa fi fr he hi hr hu id it ja ka ko lt nb nl pl pt ro ru sk sl sr sv ta th tr uk vi zh_CN zh_TW".split()  # noqa: SIM905 - one to a line they would fill a page.
PIECES = {"en": 900, "py": 500}
PIECES_OF_OTHERS = 240
SHORTEST, LONGEST = 40, 4000

Document = tuple[str, str, str]
"""Its kind, its name and its text."""

WORDS = "great thanks that is so funny see you tomorrow the party was amazing I love it haha really? yes! no problem done.".split()  # noqa: SIM905 - as above.
EMOJI = (
    *range(0x1F300, 0x1F321),
    *range(0x1F380, 0x1F394),
    *range(0x1F440, 0x1F4A0),
    *range(0x1F600, 0x1F645),
)


def documents(also: Sequence[Path]) -> Iterator[Document]:
    for path in sorted(Path("/usr/share/vim").rglob("tutor*.utf-8")):
        language = {"": "en", "zh": "zh_TW", "no": "nb"}.get(found := path.name[6:-6].rstrip("."), found)
        if language in ("en", *LANGUAGES):
            yield language, path.name, prose(path.read_text(encoding="utf-8", errors="replace"))
    for language in LANGUAGES:
        for path in sorted(Path("/usr/share/locale", language, "LC_MESSAGES").glob("*.mo")):
            # Lists of names are not how people write.
            if "iso_" not in path.name and path.stat().st_size >= 9000:
                yield language, str(path), messages(path)
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        code = path.read_text(encoding="utf-8", errors="replace")
        yield "py", path.name, code
        yield "en", f"the docstrings of {path.name}", docstrings(code)
    for path in sorted(Path("/usr/share/common-licenses").glob("*")):
        yield "en", str(path), path.read_text(encoding="utf-8", errors="replace")
    folders = (Path("/usr/share"), Path("/usr/include"), ROOT / "docs", *also)
    for ending in ("md", "go", "pm", "h", "json", "yaml", "js", "css", "html"):
        for top in folders:
            paths = [path for path in top.rglob(f"*.{ending}") if path.is_file()]
            seeded(ending).shuffle(paths)
            for path in [path for path in paths if 1500 < path.stat().st_size < 300_000][:60]:
                yield ending, str(path), path.read_text(encoding="utf-8", errors="replace")
    for number in range(24):
        yield from made_up(number)


def prose(text: str) -> str:
    """Without what is drawn, and with its lines joined as a person would send them."""
    text = re.sub(r"[ \t]+", " ", re.sub(r"[~^]{3,}.*", "", text))
    return re.sub(r"(?<=\S)\n (?=\S)", " ", text)


def messages(path: Path) -> str:
    with path.open("rb") as file:
        try:
            catalog: dict[Any, Any] = vars(gettext.GNUTranslations(file))["_catalog"]
        except (OSError, UnicodeDecodeError):
            return ""
    return "\n".join(
        text for key, text in catalog.items() if key and isinstance(text, str) and len(text) >= 16
    )


def docstrings(code: str) -> str:
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ""
    owners = (
        node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )
    found = (ast.get_docstring(node) or "" for node in owners)
    return "\n\n".join(text for text in found if len(text) > 80)


def seeded(seed: int | str) -> random.Random:
    """Chance that is the same each time."""
    return random.Random(seed)  # noqa: S311 - nothing is kept secret with it.


def made_up(number: int) -> Iterator[Document]:
    rnd = seeded(number)
    data = rnd.randbytes(6000)
    yield "base64", f"base64 {number}", base64.b64encode(data).decode()
    yield "hex", f"hex {number}", data.hex()
    ids = [str(uuid.UUID(int=rnd.getrandbits(128))) for _ in range(200)]
    yield "uuid", f"uuid {number}", "\n".join(ids)
    rows = (
        (rnd.randrange(10 ** rnd.randrange(1, 9)), round(rnd.random() * 1000, rnd.randrange(1, 4)))
        for _ in range(900)
    )
    yield "csv", f"csv {number}", "\n".join(f"{a},{b},{a},{b}" for a, b in rows)
    lines = (
        {
            "time": f"2025-{rnd.randrange(1, 13):02}-{rnd.randrange(1, 29):02}T{rnd.randrange(24):02}:00:{rnd.randrange(60):02}Z",
            "level": rnd.choice(["info", "error", "debug"]),
            "request_id": id_,
            "latency_ms": rnd.randrange(1000),
        }
        for id_ in ids[:80]
    )
    yield "log", f"log {number}", "\n".join(json.dumps(line) for line in lines)
    words = (
        rnd.choice(WORDS) if rnd.random() < 0.8 else chr(rnd.choice(EMOJI)) * rnd.choice((1, 1, 1, 2, 3))
        for _ in range(800)
    )
    yield "emoji", f"emoji {number}", " ".join(words)


def pieces(found: Sequence[Document]) -> Iterator[tuple[str, bool, str]]:
    """Pieces by kind, whether they are held out, and their texts."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for kind, name, text in found:
        if len(text) > 400:
            kinds.setdefault(kind, []).append((name, text[:60_000]))
    for kind, texts in sorted(kinds.items()):
        rnd = seeded(kind)
        for number in range(PIECES.get(kind, PIECES_OF_OTHERS)):
            name, text = texts[number % len(texts)]
            size = int(SHORTEST * (LONGEST / SHORTEST) ** rnd.random())
            start = rnd.randrange(max(1, len(text) - size))
            piece = text[start : start + size]
            if len(piece.strip()) >= 10:
                yield kind, hashlib.sha256(name.encode()).digest()[0] % 3 == 0, piece
