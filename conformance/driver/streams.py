"""What is true of streams: what the events of Chat and of speech say of one another, and what a runner has made of them."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence

from conformance.driver.values import Json

# Nanoseconds: a sample of 44.1 kHz is no whole number of them, so each offset and duration is rounded.
_ROUNDED = 1000
_JOINED = frozenset({"answer", "resume"})


class Odd(Exception):
    """An event says what none can; says what that is."""


def gaps(events: Json, first: int | None = None) -> list[str]:
    """Where the positions of Chat events leave something out, or say it twice; `first` is the position of the first event.

    Events may stand in the responses that carry them.
    """
    if not isinstance(events, list) or not events:
        return ["there are no events"]
    try:
        covered = [_covered(each.get("event", each)) for each in events]
    except (Odd, AttributeError) as odd:
        return [f"an event without a position: {odd}"]
    found = [f"an event covers {begin} to {end}" for begin, end in covered if not 1 <= begin <= end]
    if first is not None and covered[0][0] != first:
        found.append(f"the first position is {covered[0][0]}, not {first}")
    return found + [
        f"position {begin} follows {end}"
        for (_, end), (begin, _) in itertools.pairwise(covered)
        if begin != end + 1
    ]


def audio_gaps(events: Json) -> list[str]:
    """Where pieces of speech leave something out by offset and duration, and where the last event counts otherwise than they do."""
    end, size, count = 0, 0, 0
    try:
        for event in events if isinstance(events, list) else []:
            if "audio" not in event:
                continue
            audio = event["audio"]
            offset = _nanoseconds(audio.get("offset", "0s"))
            if abs(offset - end) > _ROUNDED:
                return [f"audio at {offset} ns follows what ends at {end} ns"]
            end += _nanoseconds(audio.get("duration", "0s"))
            size, count = size + len(base64.b64decode(audio.get("data", ""))), count + 1
        if not count:
            return ["there is no audio"]
        finished = events[-1].get("finished", {})
        told = finished.get("audioBytes"), finished.get("chunkCount")
        lasting = _nanoseconds(finished.get("audioDuration", "0s"))
    except (Odd, AttributeError, TypeError, ValueError) as odd:
        return [f"an event that is none of speech: {odd}"]
    found = []
    if told != (str(size), str(count)):
        found.append(f"the end says {told[0]} bytes in {told[1]} pieces; {size} in {count} came")
    if abs(lasting - end) > _ROUNDED:
        found.append(f"the end says {lasting} ns; {end} came")
    return found


def miscounted(op: str, events: Sequence[Mapping[str, Json]], result: Mapping[str, Json]) -> list[str]:
    """Where what a runner says of a stream is not what its events come to."""
    wanted: dict[str, Json] = {}
    if op in _JOINED or op == "stream":
        wanted["count"] = len(events)
    if op in _JOINED:
        wanted["text"] = "".join(_delta(event) for event in events)
    # What failed tells as much as is known.
    told = {name: result.get(name) for name in wanted if result.get("ok") is True or name in result}
    return [
        f"{name}: the runner says {told[name]!r:.200}, its events {wanted[name]!r:.200}"
        for name in told
        if told[name] != wanted[name]
    ]


def _delta(event: Mapping[str, Json]) -> str:
    delta = event.get("textDelta")
    text = delta.get("text", "") if isinstance(delta, dict) else ""
    return text if isinstance(text, str) else repr(text)


def _covered(event: Mapping[str, Json]) -> tuple[int, int]:
    return _whole(event.get("firstSeq", "0")), _whole(event.get("seq", "0"))


def _whole(text: Json) -> int:
    # 64-bit numbers are texts in JSON.
    if not isinstance(text, str) or not text.isdecimal():
        raise Odd(f"{text!r} is no number")
    return int(text)


def _nanoseconds(text: Json) -> int:
    whole, _, fraction = str(text).removesuffix("s").partition(".")
    if not whole.isdecimal() or not (fraction or "0").isdecimal():
        raise Odd(f"{text!r} is no duration")
    return int(whole) * 1_000_000_000 + int(fraction.ljust(9, "0"))
