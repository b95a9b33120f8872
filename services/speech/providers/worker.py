"""The program of a speech worker: speaks, and makes one file of many. Run as `python -m services.speech.providers.worker`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.infra.workers.frames import Answer
from services.infra.workers.worker import Inbox, run
from services.speech.model import Batch, Ending, Format
from services.speech.ports import Task
from services.speech.providers.batching import Batching
from services.speech.providers.messages import answer_of, task_of, voices_body

_RATE_OF_NOTHING = 24_000


def handle(header: Mapping[str, Any], body: bytes, inbox: Inbox) -> Iterator[Answer]:
    """One of `speak`, `stitch` and `voices`; the adapters know what each takes and gives."""
    match header["job"]:
        case "speak":
            yield from map(answer_of, _spoken(task_of(body)))
        case "stitch":
            yield from map(answer_of, _stitched(Format(header["format"]), inbox))
        case "voices":
            from services.speech.providers.espeak.engine import engine

            with engine() as one:
                yield Answer(body=voices_body(one.voices()))


def _spoken(task: Task) -> Iterator[Batch | Ending]:
    from services.speech.providers.espeak.engine import engine

    with engine() as one:
        batching = Batching(task.format, one.sample_rate)
        for segment in task.segments:
            spoken = one.speak(task.voice, task.rate, task.pitch, segment)
            for word in spoken.words:
                text = segment.text[word.start : word.end]
                batching.word(text, segment.offset + word.start, word.since, word.until)
            yield from batching.part(spoken.pcm, segment.pause, len(segment.text))
        yield from batching.finish()


def _stitched(format_: Format, inbox: Inbox) -> Iterator[Batch | Ending]:
    """Parts come in one by one; their batches go out before the next one is asked for."""
    from services.speech.providers.audio.decoding import decoded

    batching: Batching | None = None
    rate: int | None = None
    while True:
        header, audio = inbox.next()
        if header.get("end"):
            break
        pcm, rate = decoded(audio, rate)
        batching = batching or Batching(format_, rate)
        yield from batching.part(pcm, header["pause"], header["characters"])
        yield from batching.flush()
    yield from (batching or Batching(format_, _RATE_OF_NOTHING)).finish()


def main() -> None:
    """Work until the server is gone."""
    run(handle)


if __name__ == "__main__":
    main()
