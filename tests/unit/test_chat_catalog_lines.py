"""Whatever is wrong with a catalog's file is told with the line that it stands on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capabilities.upstream.lines import Lines, NotToml, Step, parse
from services.chat.providers.catalog import load_catalog
from services.chat.providers.echo import EchoProvider
from services.kernel.startup import StartupError

SAMPLE = '''# a comment, with a ] in it
[providers.own]
base_url = "x"

[[models]]
name = "a"
fallbacks = [
  "b",   # ]
  "c"
  , "d",
]
prices = { input = 1.5 }
[models.more]
text = """
a = 1
]
"""
[[models]]
name = "b"
tables = [
  { x = 1 },
  { y = 2 },
]'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("providers", "own"), 2),
        (("providers", "own", "base_url"), 3),
        (("providers", "own", "absent"), 2),
        (("models", 0), 5),
        (("models", 0, "name"), 6),
        (("models", 0, "fallbacks"), 7),
        (("models", 0, "fallbacks", 0), 8),
        (("models", 0, "fallbacks", 1), 9),
        (("models", 0, "fallbacks", 2), 10),
        (("models", 0, "prices", "input"), 12),
        (("models", 0, "more"), 13),
        (("models", 0, "more", "text"), 14),
        (("models", 1), 18),
        (("models", 1, "tables", 1, "y"), 22),
        (("models", 2), 5),
        (("absent",), 1),
        ((), 1),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_where_things_stand(path: tuple[Step, ...], line: int, newline: str) -> None:
    text = SAMPLE.replace("\n", newline)
    assert parse(text)
    assert Lines(text).of(*path) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\na = 2\n", 2),
        ('a = 1\n\nb = "\n', 3),
        ('a = 1\n# why\nb = """\nmore\n\n', 3),
        ("a = 1\nb = [\n1,\n\n", 2),
        ("a = 1\nb = " + "9" * 5000 + "\nc = 3\n", 2),
        ("a = 1\nb = " + "[" * 5000 + "\n", 2),
        ("a = 1\n\n\n=", 4),
    ],
)
def test_where_a_file_stops_to_be_toml(text: str, line: int) -> None:
    with pytest.raises(NotToml) as refused:
        parse(text)
    assert refused.value.line == line
    assert refused.value.what


FILLERS = st.sampled_from(
    ["", "# a comment", "# ]", '# """', "[providers.p{}]\nbase_url = 'http://x/v1'", "   ", "#[[models]]"]
)
GOOD = st.sampled_from(
    [
        'description = "fine"',
        "context_tokens = 4_096",
        'capabilities = [\n  "tools",\n  # ]\n  "vision" ]',
        'description = """\nname = "x"\n[[models]]\n"""',
        "prices = { input = 1.25, output = '2.5' } # ok",
        "description = '''a\n]'''",
    ]
)
# What is wrong, and on which of its lines it is told.
BAD = st.sampled_from(
    [
        ("context_tokens = -1", 0),
        ("colour = 'red'", 0),
        ("idle_timeout = 0", 0),
        ("prices = { input = -1 }", 0),
        ('fallbacks = [ # ]\n  "absent"\n]', 1),
        ('capabilities = [\n  "tools",\n\n  "telepathy",\n]', 3),
        ('[models.prices]\n# in USD\ninput = "1.0000000001"', 2),
        ("display_name = [\n1,\n]", 0),
    ]
)
MODELS = st.lists(st.tuples(st.lists(FILLERS, max_size=3), GOOD, st.none() | BAD), min_size=1, max_size=6)


@given(MODELS, st.booleans())
def test_each_mistake_is_told_with_its_line(
    tmp_path_factory: pytest.TempPathFactory,
    models: list[tuple[list[str], str, tuple[str, int] | None]],
    windows: bool,
) -> None:
    text, wrong = "[providers.own]\nbase_url = 'http://127.0.0.1/v1'\n", []
    for number, (fillers, good, bad) in enumerate(models):
        for at, filler in enumerate(fillers):
            text += filler.format(f"{number}x{at}") + "\n"
        text += f"[[models]]\nname = 'm{number}'\nprovider = 'own'\n"
        if bad is None or bad[0].partition(" ")[0] != good.partition(" ")[0]:
            text += good + "\n"
        if bad is not None and not (bad[0].startswith("[models.prices]") and good.startswith("prices")):
            wrong.append(text.count("\n") + 1 + bad[1])
            text += bad[0] + "\n"
    path = tmp_path_factory.getbasetemp() / "lines.toml"
    path.write_bytes((text.replace("\n", "\r\n") if windows else text).encode())
    echo = EchoProvider(0)
    try:
        load_catalog(path, {}, {}, lambda _endpoint, _model: echo, echo)
        told: list[int] = []
    except StartupError as error:
        told = [int(line) for line in re.findall(r"^.*?lines\.toml:(\d+): ", error.message, re.MULTILINE)]
    assert told == wrong


def test_a_large_file_is_judged_in_no_time(tmp_path: Path) -> None:
    entries = "".join(f'[[models]]\nname = "m{n}"\nprovider = "own"\nfallbacks = ["x"]\n' for n in range(500))
    path = tmp_path / "models.toml"
    path.write_text("[providers.own]\nbase_url = 'http://127.0.0.1/v1'\n" + entries)
    echo = EchoProvider(0)
    with pytest.raises(StartupError) as refused:
        load_catalog(path, {}, {}, lambda _endpoint, _model: echo, echo)
    assert f"{path}:6: model 'm0' names the fallback 'x'" in refused.value.message
    assert refused.value.message.endswith("And 490 more.")
