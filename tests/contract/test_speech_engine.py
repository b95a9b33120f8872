"""The embedded engine as its callers hear it (`speech.ports.Speaker`): whose voice, which words, how fast, how high."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from services.speech.model import Format, Word
from services.speech.ports import Speaker
from services.speech.providers.espeak.adapter import EspeakSpeaker
from tests.fakes.speech_speaker import FakeSpeaker
from tests.fakes.speech_tasks import Recording, Samples, recorded, task_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 50
SAMPLE_RATE = 22_050
VOWELS = ("Mamá lloró mal la mañana.", "roa/es")
HOSTILE = (
    "",
    " \n ",
    "...",
    "😀👨‍👩‍👧🇪🇸" * 20,
    "<speak><voice name='de'>a</voice></speak> & <!DOCTYPE x>",
    "[[h@l'oU]] [[_:_",
    "\x01100S \x0b\x1b\x7f",
    "a" * 3000,
    "\u200b\u202e\ufeff\ue000\U0010ffff",
    "é̂̃" * 300,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def speaker() -> AsyncIterator[EspeakSpeaker]:
    made = EspeakSpeaker(workers=2)
    await made.warm_up()
    yield made
    await made.aclose()


async def heard(speaker: EspeakSpeaker, *texts: str, **manner: object) -> Recording:
    return await recorded(speaker.speak(task_of(*texts, **manner)))  # type: ignore[arg-type]


def fundamental(samples: Samples) -> float:
    """The median frequency of what is voiced, in Hz: of each frame, the first lag at which it is nearly itself again."""
    lags = np.arange(60, 420)
    found: list[float] = []
    for at in range(0, len(samples) - 2048, 512):
        frame = samples[at : at + 2048] - samples[at : at + 2048].mean()
        later = np.lib.stride_tricks.sliding_window_view(frame, 1024)[lags]
        likeness = later @ frame[:1024] / np.sqrt((later**2).sum(1) * (frame[:1024] ** 2).sum() + 1)
        inner = likeness[1:-1]
        peaks = (
            (inner >= likeness[:-2]) & (inner >= likeness[2:]) & (inner >= max(0.8, 0.93 * likeness.max()))
        )
        if frame.std() > 500 and peaks.any():
            found.append(SAMPLE_RATE / lags[1 + int(np.argmax(peaks))])
    return float(np.median(found))


@pytest.fixture(params=["engine", "fake"])
def either(request: pytest.FixtureRequest, speaker: EspeakSpeaker) -> Speaker:
    return speaker if request.param == "engine" else FakeSpeaker()


async def test_what_every_speaker_gives_adds_up(either: Speaker) -> None:
    texts = ("One two. ", "Three, four five six!")
    recording = await recorded(either.speak(task_of(*texts, voice="roa/es", pause=0.3)))
    assert recording.ending is not None
    rate, length = recording.ending.sample_rate, recording.ending.samples
    assert sum(piece.data_bytes for piece in recording.pieces) == len(recording.data)
    assert sum(piece.samples for piece in recording.pieces) == length == len(recording.samples)
    assert all(rate * 0.02 <= piece.samples <= rate * 0.2 for piece in recording.pieces)
    assert {batch.sample_rate for batch in recording.batches} == {rate}
    assert [word.text.strip(".,!") for word in recording.words] == [
        *("One", "two", "Three", "four", "five", "six")
    ]
    assert all(ends(before) <= (after.offset, after.start) for before, after in pairwise(recording.words))
    assert recording.words[-1].end <= length
    assert recording.batches[-1].characters == sum(map(len, texts))


async def test_among_fifty_at_once_nobody_hears_anothers_voice(speaker: EspeakSpeaker) -> None:
    voices = [voice.upstream for voice in (await speaker.voices())[:AT_ONCE]]
    tasks = [
        task_of("Ana 12. ", "Otto.", voice=voice, rate=1 + place / 50) for place, voice in enumerate(voices)
    ]
    alone = [await recorded(speaker.speak(task)) for task in tasks]
    together = await asyncio.gather(*(recorded(speaker.speak(task)) for task in tasks))
    for voice, expected, got in zip(voices, alone, together, strict=True):
        assert np.array_equal(got.samples, expected.samples), voice
    assert len({recording.file for recording in alone}) == AT_ONCE


@pytest.mark.parametrize("format_", Format)
async def test_the_ending_knows_how_long_the_decoded_file_is(
    speaker: EspeakSpeaker, format_: Format, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recording = await heard(speaker, "One two. ", "Three four five six.", format_=format_, pause=0.5)
    assert recording.ending is not None
    assert sum(piece.samples for piece in recording.pieces) == recording.ending.samples
    path = tmp_path_factory.mktemp("heard") / f"file.{format_.value}"
    path.write_bytes(recording.file)
    decoded, rate = soundfile.read(path)
    assert (len(decoded), rate) == (recording.ending.samples, recording.ending.sample_rate)
    # Between the words of the first segment and those of the second there is the pause that was asked for, where they say it is.
    since, until = recording.words[1].end, recording.words[2].start
    assert until - since == pytest.approx(0.5 * rate, abs=2)
    assert np.abs(decoded[since + rate // 20 : until - rate // 20]).max() < 0.01
    assert np.abs(decoded[until : recording.words[3].start]).max() > 0.1


async def test_the_first_batch_is_small_and_later_ones_are_not(speaker: EspeakSpeaker) -> None:
    recording = await heard(speaker, *["This is one of many sentences. "] * 30)
    assert [len(batch.pieces) for batch in recording.batches[:6]] == [1, 2, 4, 8, 16, 32]
    assert [batch.characters for batch in recording.batches][-1] == 30 * 31
    assert all(before.characters <= after.characters for before, after in pairwise(recording.batches))


@pytest.mark.parametrize(
    ("voice", "text", "expected"),
    [
        ("gmw/en-US", "Dr. Smith's e-mail: 1,234,567 times!", "Dr Smith's e-mail 1,234,567 times"),
        ("gmw/en-US", "One of a kind, in the end?", "One of a kind in the end"),
        ("gmw/de", "Am 3. Mai kostete es z.B. 5 €.", None),
        ("roa/es", "¿Qué día es hoy, señora?", "Qué día es hoy señora"),
        ("sit/cmn", "你好，世界。", None),
        ("zle/ru", "Привет, мир!", "Привет мир"),
        ("sem/ar", "مرحبا بالعالم", "مرحبا بالعالم"),
        ("gmw/en-US", "Привет 😀 https://a.example/b?c=1 👨‍👩‍👧 end", None),
    ],
)
async def test_words_come_in_order_from_the_text_and_within_the_audio(
    speaker: EspeakSpeaker, voice: str, text: str, expected: str | None
) -> None:
    recording = await heard(speaker, "A. ", text, voice=voice)
    assert recording.ending is not None
    words, source = recording.words, "A. " + text
    assert all(source[word.offset : word.offset + len(word.text)] == word.text for word in words)
    assert all(word.text.strip() and 0 <= word.start < word.end <= recording.ending.samples for word in words)
    assert all(ends(before) <= (after.offset, after.start) for before, after in pairwise(words))
    if expected is not None:
        assert " ".join(word.text for word in words) == "A " + expected


def ends(word: Word) -> tuple[int, int]:
    return word.offset + len(word.text), word.end


@pytest.mark.parametrize("voice", ["roa/es", "poz/mi", "gmw/de"])
async def test_where_sentences_meet_there_is_no_click(speaker: EspeakSpeaker, voice: str) -> None:
    texts = ("A. ", "Otto kam an. ", "O! ")
    alone = [(await heard(speaker, text, voice=voice)).samples for text in texts]
    joined = (await heard(speaker, *texts * 3, voice=voice)).samples
    assert largest_step(joined) <= 2 * max(map(largest_step, alone))


def largest_step(samples: Samples) -> float:
    return float(np.abs(np.diff(samples)).max())


async def test_rate_makes_it_shorter_by_as_much(speaker: EspeakSpeaker) -> None:
    text = "This is a sentence of several ordinary words, and it has a second clause."
    own = len((await heard(speaker, text)).samples)
    for rate in (0.5, 2.0, 2.5):
        assert len((await heard(speaker, text, rate=rate)).samples) * rate == pytest.approx(own, rel=0.08)


async def test_pitch_moves_the_fundamental_by_the_semitones_asked(speaker: EspeakSpeaker) -> None:
    text, voice = VOWELS
    own = fundamental((await heard(speaker, text, voice=voice)).samples)
    for semitones in (-6.0, 3.0, 10.0):
        moved = fundamental((await heard(speaker, text, voice=voice, pitch=semitones)).samples)
        assert 12 * np.log2(moved / own) == pytest.approx(semitones, abs=1)


@pytest.mark.parametrize("text", HOSTILE)
async def test_whatever_is_written_is_text_and_begins_and_ends_in_silence(
    speaker: EspeakSpeaker, text: str
) -> None:
    samples = (await heard(speaker, text)).samples
    assert len(samples) > 0
    assert max(abs(samples[0]), abs(samples[-1])) < 330


async def test_what_looks_like_a_command_is_read_aloud(speaker: EspeakSpeaker) -> None:
    plain = await heard(speaker, "Say h e l l o now.")
    for text in ("Say <h e l l o/> now.", "Say [[h e l l o]] now."):
        assert [word.text for word in (await heard(speaker, text)).words][-1] == "now"
        assert len((await heard(speaker, text)).samples) >= len(plain.samples) * 0.95
    assert (await heard(speaker, "Say\x0180S hello.")).file == (await heard(speaker, "Say 80S hello.")).file


async def test_each_voice_has_a_name_a_language_and_speaks(speaker: EspeakSpeaker) -> None:
    voices = await speaker.voices()
    assert len({voice.name for voice in voices}) == len(voices) > 130
    assert list(voices) == sorted(voices, key=lambda voice: (voice.language, voice.name))
    by_name = {voice.name: voice for voice in voices}
    assert by_name["en-gb-x-rp"].language == "en-GB"
    assert by_name["cmn-latn-pinyin"].language == "cmn-Latn"
    assert {by_name["yue"].language, by_name["yue-latn-jyutping"].language} == {"yue", "yue-Latn"}
    assert by_name["es"].upstream == "roa/es"
    assert all(0 < len(voice.language) <= 10 and voice.display_name for voice in voices)
    # There is no dictionary of Faroese, so that its voice says nothing.
    assert "fo" not in by_name
