"""SSML is read safely: what is taken becomes segments with documents of their own, and what is not is refused where it stands."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidArgument
from services.speech.model import Script
from services.speech.text import position_in_text, script_of_ssml

LONGEST = 1000


def _parts(script: Script) -> list[tuple[str, float]]:
    return [(segment.text, segment.pause) for segment in script.segments]


@pytest.mark.parametrize(
    ("inside", "parts"),
    [
        (" Hello\n  world.  How are you? ", [("Hello world. ", 0), ("How are you?", 0)]),
        ("<p>A title</p><p>Text</p>end", [("A title ", 0), ("Text ", 0), ("end", 0)]),
        ("<s>Dr.</s><s>Who</s>", [("Dr. ", 0), ("Who", 0)]),
        ("One<break/>two", [("One ", 0.5), ("two", 0)]),
        ('One, <break time="250ms"/> two <break time="+1.5s"/>', [("One, ", 0.25), ("two", 1.5)]),
        ('<break strength="x-strong"/><break time="1s"/>One', [("", 2.0), ("One", 0)]),
        ('One<break strength="none"/> two<break time="0s"/>.', [("One two.", 0)]),
        ("Hm<break/> ... <break/>Yes", [("Hm ... ", 1.0), ("Yes", 0)]),
        ("... <break/> Yes", [("", 0.5), ("... Yes", 0)]),
        ("AT&amp;T &lt;3 &#233;&#x1F600; <![CDATA[<b>]]><!-- no -->.", [("AT&T <3 é😀 <b>.", 0)]),
        ('In <sub alias="World Wide. Web">W3 C. It</sub> is. So', [("In W3 C. It is. ", 0), ("So", 0)]),
        ("It <emphasis>is. <prosody>And</prosody></emphasis> so.", [("It is. ", 0), ("And so.", 0)]),
    ],
)
def test_texts_and_pauses_are_those_of_a_reader(inside: str, parts: list[tuple[str, float]]) -> None:
    ssml = f"<speak>{inside}</speak>"
    script = script_of_ssml(ssml, LONGEST)
    assert _parts(script) == parts
    assert script.text == "".join(text for text, _ in parts)
    assert script.ssml == ssml


@pytest.mark.parametrize(
    ("inside", "documents"),
    [
        ("a &lt; b &amp; c", ["a &lt; b &amp; c"]),
        (
            'A <prosody rate="150%" volume="-6dB">b. <s>C</s></prosody> d',
            [
                'A <prosody rate="150%" volume="50%">b. </prosody>',
                '<prosody rate="150%" volume="50%">C</prosody> ',
                "d",
            ],
        ),
        # Percentages multiply, semitones add, a name stands for itself; what comes to nothing is not said.
        (
            '<prosody rate="50%" pitch="+2st"><prosody rate="200%" pitch="-2st">A</prosody></prosody>',
            ["A"],
        ),
        (
            '<prosody rate="x-fast" pitch="+100%"><prosody rate="slow">A</prosody></prosody>',
            ['<prosody rate="75%" pitch="+65Hz">A</prosody>'],
        ),
        ('<prosody volume="silent">A</prosody>', ['<prosody volume="0%">A</prosody>']),
        ('<emphasis level="strong">A</emphasis>', ['<emphasis level="strong">A</emphasis>']),
        ('The <sub alias="Q &amp; A">FAQ</sub>.', ["The Q &amp; A."]),
        ('<say-as interpret-as="spell-out">ab</say-as>', ['<say-as interpret-as="characters">ab</say-as>']),
        ('<say-as interpret-as="date" format="dmy">1.2.2026</say-as>', ["1.2.2026"]),
    ],
)
def test_each_segment_has_a_document_of_what_applies_to_it(inside: str, documents: list[str]) -> None:
    script = script_of_ssml(f"<speak>{inside}</speak>", LONGEST)
    assert [segment.ssml for segment in script.segments] == [f"<speak>{each}</speak>" for each in documents]


def test_a_root_may_say_which_ssml_it_is() -> None:
    root = 'version="1.1" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="es-419"'
    assert script_of_ssml(f'<?xml version="1.0"?>\n<speak {root}>Hola</speak>', LONGEST).text == "Hola"


def test_what_is_spoken_as_one_is_not_cut() -> None:
    inside = 'aa bb <say-as interpret-as="digits">1 2 3</say-as> <sub alias="x, y, z">cc dd</sub>'
    script = script_of_ssml(f"<speak>{inside}</speak>", 7)
    assert [segment.text for segment in script.segments] == ["aa bb ", "1 2 3 ", "cc dd"]


def test_places_in_a_document_lead_to_the_text() -> None:
    inside = 'AT&amp;T <prosody rate="80%">of</prosody> <sub alias="World Wide Web">WWW</sub>!'
    (segment,) = script_of_ssml(f"<speak>{inside}</speak>", LONGEST).segments
    assert segment.text == "AT&T of WWW!"
    found = {
        word: position_in_text(segment, segment.ssml.index(word))
        for word in ("AT", "&amp;T", "T ", "of", "!")
    }
    assert found == {"AT": 0, "&amp;T": 2, "T ": 3, "of": 5, "!": 11}
    # An alias begins where the text does that it stands for, and the rest of it is behind that.
    assert [position_in_text(segment, segment.ssml.index(word)) for word in ("World", "Wide", "Web")] == [
        8,
        11,
        11,
    ]
    assert position_in_text(segment, 0) == 0
    assert position_in_text(segment, 10_000) == len(segment.text)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


REFUSED = [
    (f'<!DOCTYPE speak [<!ENTITY l0 "ha">{LAUGHS}]><speak>&l11;</speak>', "DOCTYPE"),
    ('<!DOCTYPE speak [<!ENTITY x SYSTEM "file:///etc/passwd">]><speak>&x;</speak>', "DOCTYPE"),
    ('<!DOCTYPE speak SYSTEM "http://127.0.0.1/x.dtd"><speak>a</speak>', "DOCTYPE"),
    ("<speak>&nbsp;</speak>", "the entities are .*line 1, column 8"),
    ("<speak>a\n é<?php x?></speak>", r"processing instructions .*line 2, column 3"),
    (f"<speak>{'<prosody>' * 16}a{'</prosody>' * 16}</speak>", "more than 16 deep"),
    ("<prosody>" * 10_000, "has to be <speak>"),
    ("<speak>a" + '<break time="1ms"/>' * 5000 + "</speak>", "more than 5000 elements"),
    ("<speak>a" + '<break time="10s"/>' * 61 + "</speak>", "longer than 600 seconds"),
    ("<speak" + "".join(f" a{n}=''" for n in range(10_000)) + ">a</speak>", "more than 8 attributes"),
    ("<speak><voice>a</voice></speak>", "'voice' is not taken; the elements are speak, p, s, break"),
    ('<speak><audio src="http://127.0.0.1/a.wav"/></speak>', "<audio> .*nothing outside"),
    ('<speak xml:base="http://127.0.0.1/">a</speak>', "xml:base .*nothing outside"),
    ('<speak><s xml:lang="es">a</s></speak>', "in <speak> alone"),
    ('<speak xmlns="http://example.com">a</speak>', "namespace"),
    ('<speak><p onclick="x">a</p></speak>', "'onclick' is not taken; <p> takes none"),
    ("<speak><p><p>a</p></p></speak>", "<p> can't stand in <p>"),
    ('<speak><sub alias="b">a<break/></sub></speak>', "<break> can't stand in <sub>"),
    ('<speak><sub alias="b"/></speak>', "<sub> has no text"),
    ('<speak><sub alias=" ">a</sub></speak>', "alias is missing or empty"),
    (f'<speak><sub alias="{"b" * 201}">a</sub></speak>', "at most 200"),
    (f'<speak><sub alias="b">{"a" * 1001}</sub></speak>', "more than 1000 characters"),
    ("<speak><break>a</break></speak>", "has to be empty"),
    *((f'<speak>a<break time="{each}"/></speak>', "time") for each in ("10.1s", "-1s", "1", "1e3ms", "٣s")),
    *((f'<speak><prosody rate="{each}">a</prosody></speak>', "20% to 400%") for each in ("19%", "nan%", "2")),
    *(
        (f'<speak><prosody pitch="{each}">a</prosody></speak>', "two octaves")
        for each in ("10%", "+25st", "-99%")
    ),
    ('<speak><prosody volume="+6">a</prosody></speak>', r"\+6dB"),
    ('<speak><emphasis level="huge">a</emphasis></speak>', "'huge' is not one of strong"),
    ('<speak><say-as interpret-as="currency">1</say-as></speak>', "'currency' is not one of characters"),
    ("<speak>a", "line 1, column 9"),
    ("<speak>a</speak>b", "junk"),
    ("Hello", "can't be read as XML"),
    ("", "can't be read as XML"),
    ("<speak>a\0b</speak>", "line 1, column 9"),
    ("<speak>a&#0;b</speak>", "line 1, column 9"),
    ("<speak>a\x85b</speak>", r"U\+0085"),
    ("<speak>\ud800</speak>", "none of Unicode"),
    ("<speak> <break/> </speak>", "has no text"),
]


@pytest.mark.parametrize(("ssml", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_not_taken_is_refused_where_it_stands(ssml: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        script_of_ssml(ssml, LONGEST)
    assert [violation.field for violation in caught.value.violations] == ["ssml"]
    assert len(str(caught.value)) < 400


def test_a_long_text_is_read() -> None:
    script = script_of_ssml(f"<speak>{'One more. ' * 9998}</speak>", LONGEST)
    assert len(script.segments) == 9998


def _element(name: str, attributes: dict[str, str], inside: str) -> str:
    written = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>"


TEXT = st.text(st.sampled_from(list("ab <>&\"'é😀.!\n\u00a0]")), max_size=8).map(escape)
BREAK = st.sampled_from(["<break/>", '<break time="20ms"/>', '<break strength="none"/>'])
PROSODY = st.fixed_dictionaries(
    {},
    optional={
        "rate": st.sampled_from(["fast", "50%", "133.3%"]),
        "pitch": st.sampled_from(["low", "+1st", "-20%"]),
        "volume": st.sampled_from(["soft", "+3dB", "silent"]),
    },
)
LEVELS = st.sampled_from([{}, {"level": "strong"}, {"level": "none"}])
SAYINGS = st.builds(
    lambda kind, text: _element("say-as", {"interpret-as": kind}, text),
    st.sampled_from(["characters", "digits", "date"]),
    st.sampled_from(["a1", "1 2", "A &amp; B."]),
)
INLINE = st.recursive(
    st.one_of(TEXT, TEXT, BREAK, SAYINGS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.builds(lambda attributes, inside: _element("prosody", attributes, inside), PROSODY, inner),
        st.builds(lambda attributes, inside: _element("emphasis", attributes, inside), LEVELS, inner),
    ),
    max_leaves=8,
).filter(lambda inside: inside.count("<prosody") + inside.count("<emphasis") < 10)
SPEAKS = st.lists(
    st.one_of(INLINE, INLINE.map(lambda each: f"<s>{each}</s>"), INLINE.map(lambda each: f"<p>{each}</p>")),
    min_size=1,
    max_size=4,
).map(lambda each: f"<speak>a {''.join(each)}</speak>")


@given(SPEAKS, st.integers(10, 40))
def test_documents_are_xml_and_their_text_is_the_plain_text(ssml: str, longest: int) -> None:
    script = script_of_ssml(ssml, longest)
    assert "".join(segment.text for segment in script.segments) == script.text
    read = "".join(ET.fromstring(ssml).itertext())
    assert "".join(script.text.split()) == "".join(read.split())
    assert script.text == " ".join(script.text.split())
    for segment in script.segments:
        assert script.text.startswith(segment.text, segment.offset)
        assert len(segment.text) <= longest
        root = ET.fromstring(segment.ssml)
        assert root.tag == "speak"
        assert "".join(root.itertext()) == segment.text
        # Every character of the document's text leads to its own in the text.
        signs = [
            each for each in re.finditer(r"<[^>]*>|&\w+;|.", segment.ssml, re.DOTALL) if each[0][0] != "<"
        ]
        assert [position_in_text(segment, each.start()) for each in signs] == list(range(len(segment.text)))
