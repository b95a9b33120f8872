"""A text is cut into sentences as its readers would, and into parts that engines take."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidArgument
from services.speech.model import Segment
from services.speech.text import grouped, is_spoken, script_of

LONGEST = 1000

# What stands between | is one sentence each.
SENTENCES = {
    "en": [
        "Mr. Smith met Dr. J. R. R. Tolkien at 3 p.m. yesterday. |It was 3.14 km, i.e. far. |Fine!",
        "No. |I said no. |See No. 5 on p. 12, fig. 3. |Ok?",
        "He lives in the U.S. |The U.S. Army is in the U.S.A. today. |She works at Foo Inc. |They sell etc. and so on.",
        "See https://example.com/a.html?q=1&b=2. |Mail a.b@c.org or open foo.py. |Use v1.2.3 at 10.0.0.1.",
        '“Stop!” he said. |"Why?" |She left. |(Really.) |It\'s 1,000.50 dollars.',
        "Wait... what? |Well... |Yes… |Vitamin C. |It was George W. Bush.",
        "Great job!👍🏽 |Next 👨‍👩‍👧 one. |iPhone sells.",
        "1. Introduction. |2. Methods.",
        "He left in 1984. |Then came 1985.",
        "Heading\n\n|Text that is\nwrapped. |Next\n|- item one\n|- item two\n|1. First\n|2. Second",
    ],
    "es": [
        "¿Qué tal? |¡Hola! |El Sr. García y la Sra. López viven en EE.UU. desde 2010.",
        "P. ej. hoy. |¿Y Ud. qué dice, si vienes, ¿vale? |Vale 1.000,50 euros. |Vino, etc. |¿Vienes?",
        "—¿Vienes? —preguntó. |—Sí.",
    ],
    "de": [
        "Am 3. Mai kam z. B. Hr. Müller, d.h. bzw. usw. und ging. |Der 2. Weltkrieg endete 1945. |Danach war Ruhe.",
        "»Halt!« rief er. |»Warum?« |Ludwig XIV. König von Frankreich. |Ich bin 12. |Du bist 13.",
    ],
    "": ["Am 3. Mai war es so. |Gut.", "Tolkien, J. R. R. Tolkien. ...!!! |Hello. ??? |- Bye."],
    "fr": ["M. Dupont et Mme. Durand arrivent ! |Quoi ? |« Non ! » |Elle partit à 5 h. |C'est tout."],
    "it": ["Il dott. Rossi, ecc. |Poi andò dal sig. Bianchi. |È vero?"],
    "pt-BR": ["O Sr. Silva foi à Av. Paulista. |Não! |Você viu a Dra. Ana?"],
    "nl": ["Dhr. Jansen kocht bijv. Edammer. |Het is zo."],
    "ru": ["В 2020 г. |Он приехал и т. д. |Он живёт на ул. Ленина. |Всё!"],
    "el": ["Τι κάνεις; |Καλά."],
    "zh": ["你好。|我是小明！|你呢？|“走吧！”|他说。|我……不知道。|价格是3.5元；|３．１４。"],
    "ja": ["「行くよ。」と言った。|元気ですか？|はい。"],
    "ko": ["안녕하세요. |반갑습니다! |네?"],
    "ar": ["مرحبا. |كيف حالك؟ |أنا بخير، شكرا۔ |نعم"],
    "hi": ["नमस्ते। |आप कैसे हैं? |ठीक है॥ |अच्छा।"],
    "hy": ["Բարեւ։ |Ինչպես ես:"],
    "am": ["ሰላም። |እንዴት ነህ፧ |ደህና።"],
    "my": ["မင်္ဂလာပါ။ |နေကောင်းလား။"],
    "km": ["សួស្តី។ |សុខសប្បាយទេ។"],
}

PIECES = st.sampled_from(
    [
        *" \n\u00a0\u3000.!?…,;:—'\"«»)([]-_*#&abZé5¿。，你好ا؟।한\u200d\u0301",
        *[
            "क्",
            "e\u0301",
            "👨‍👩‍👧",
            "🇩🇪",
            "👍🏽",
            "1️⃣",
            "Dr. ",
            "e.g. ",
            "3. Mai",
            "U.S. ",
            "\r\n\r\n",
            "word ",
            "xxxxxxxxx",
        ],
    ]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)
LENGTHS = st.integers(1, 30)


@pytest.mark.parametrize(
    ("language", "marked"), [(language, text) for language, texts in SENTENCES.items() for text in texts]
)
def test_sentences_end_where_readers_end_them(language: str, marked: str) -> None:
    sentences = marked.split("|")
    script = script_of("".join(sentences), LONGEST, language)
    assert [segment.text for segment in script.segments] == sentences


@pytest.mark.parametrize(
    ("longest", "parts"),
    [
        (21, ["Long ago, ", "in a place far away, ", "they lived and ", "worked."]),
        (10, ["1,000,000 ", "of them"]),
        (8, ["Rindflei", "sch"]),
        (6, ["我今天去，", "明天不去吃", "饭。"]),
        (8, ["🇩🇪🇫🇷🇮🇹🇪🇸", "🇬🇷"]),
        (6, ["👨‍👩‍👧 ", "👨‍👩‍👧"]),
        (6, ["नमस्ते", "नमस्ते"]),
        (9, ["नमस्तेनम", "स्ते"]),
    ],
)
def test_a_long_sentence_is_cut_at_the_best_place(longest: int, parts: list[str]) -> None:
    script = script_of("".join(parts), longest)
    assert [segment.text for segment in script.segments] == parts


@given(TEXTS, LENGTHS)
def test_segments_are_the_text_and_none_is_too_long_or_silent(text: str, longest: int) -> None:
    if not text.strip():
        with pytest.raises(InvalidArgument, match="white space"):
            script_of(text, longest)
        return
    script = script_of(text, longest)
    texts = [segment.text for segment in script.segments]
    assert "".join(texts) == script.text == text.strip()
    assert all(1 <= len(each) <= longest for each in texts)
    assert all(script.text.startswith(each.text, each.offset) for each in script.segments)
    assert [each.offset for each in script.segments] == [sum(map(len, texts[:n])) for n in range(len(texts))]
    for one, other in pairwise(texts):
        # What is silent stands alone only where it does not fit.
        assert (is_spoken(one) and is_spoken(other)) or len(one) + len(other) > longest


@given(
    st.lists(st.sampled_from(["🇩🇪", "👨‍👩‍👧", "👍🏽", "e\u0301", "a", "你", "1️⃣"]), min_size=1, max_size=40)
)
def test_signs_stay_whole_where_they_fit(signs: list[str]) -> None:
    seams = {sum(map(len, signs[:n])) for n in range(len(signs))}
    script = script_of("".join(signs), 6)
    assert {segment.offset for segment in script.segments} <= seams


@given(TEXTS.filter(str.strip), st.integers(30, 700))
def test_parts_for_providers_begin_small_and_grow(text: str, longest: int) -> None:
    segments = script_of(text, 30).segments
    parts = grouped(segments, longest)
    assert "".join(part.text for part in parts) == text.strip()
    assert parts[0] == segments[0]
    assert {part.offset for part in parts} <= {segment.offset for segment in segments}
    assert all(len(part.text) <= min(longest, 300 * 2 ** max(0, n - 1)) for n, part in enumerate(parts))


def test_parts_for_providers_keep_pauses_and_documents_apart() -> None:
    texts = ["One. ", "Two. ", "Three. ", "Four. ", "Five. "]
    segments = [
        Segment("", 0, 1.0),
        *(Segment(text, sum(map(len, texts[:n])), 0.5 if n == 2 else 0.0) for n, text in enumerate(texts)),
        Segment("Six. ", 28, ssml="<speak>Six. </speak>"),
        Segment("Seven.", 33),
    ]
    parts = grouped(segments, 1000)
    expected = ["", "One. ", "Two. Three. ", "Four. Five. ", "Six. ", "Seven."]
    assert [part.text for part in parts] == expected
    assert [part.pause for part in parts] == [1.0, 0.0, 0.5, 0.0, 0.0, 0.0]


def test_what_is_white_space_alone_is_refused_by_the_name_of_its_field() -> None:
    with pytest.raises(InvalidArgument) as caught:
        script_of(" \n\u3000", LONGEST, field="input")
    assert [violation.field for violation in caught.value.violations] == ["input"]
