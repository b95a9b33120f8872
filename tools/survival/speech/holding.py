"""What has to hold of conversions: what callers were told and heard is there, each was made once, and what was made is metered exactly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from services.analytics.model.events import UNITS
from services.capabilities.metering.model import Unit
from tools.survival.speech.audio import HEADERS
from tools.survival.speech.callers import Caller, Hearing
from tools.survival.speech.tables import Made, Row
from tools.survival.speech.tree import Tree, folder_of, samples_of
from tools.survival.usage import Account, Tally, added


def hold_callers(rows: Mapping[str, Row], callers: Sequence[Caller]) -> list[str]:
    """The table has what callers were told, unless they have deleted it, and nothing that nobody asked for; what does not hold."""
    faults = [fault for caller in callers for fault in caller.faults]
    of_text: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows.values():
        of_text[row.text].append(row)
    for caller in callers:
        found, told = of_text.pop(caller.wish.text, []), caller.conversion
        if len(found) > 1:
            faults.append(f"one caller has {len(found)} conversions: {[row.conversion_id for row in found]}")
        if told is None:
            if not caller.left and not caller.lost:
                faults.append(f"the caller of {caller.wish.text[:20]!r} was told nothing")
        elif caller.deleted:
            faults += [f"{row.conversion_id} was deleted, and is in the table" for row in found]
        elif not found:
            faults.append(f"{told.conversion_id} was told to a caller, and is not in the table")
        elif _told(found[0]) != (
            told.conversion_id,
            told.user_id or "anonymous",
            told.character_count,
            told.duration_seconds,
            told.file_size_bytes,
            told.sha256,
            told.s3_key,
            told.s3_bucket,
            caller.request_id,
        ):
            faults.append(f"{told.conversion_id} is another conversion than its caller was told")
    return faults + [f"{len(found)} conversions are of {text[:20]!r}" for text, found in of_text.items()]


def hold_hearings(rows: Mapping[str, Row], tree: Tree, callers: Sequence[Caller]) -> list[str]:
    """Whoever heard a stream to its end has the bytes that are stored, but for the header where that tells the length."""
    faults = []
    for caller in callers:
        told, format_ = caller.conversion, caller.wish.format
        for hearing in caller.hearings:
            heard = hearing.audio
            if heard is None or told is None:
                continue
            row = rows.get(hearing.conversion_id)
            stored = row and tree.get(f"{folder_of(row)}audio/original.{format_}")
            same = heard.size == told.file_size_bytes
            if format_ not in HEADERS:
                same = same and heard.sha256 == told.sha256
            if stored:
                same = same and heard.body == stored.audio.body
            if not same:
                faults.append(f"what was heard of {hearing.conversion_id} ({format_}) is not what is stored")
    return faults


def hold_generations(
    rows: Mapping[str, Row], tree: Tree, generations: Sequence[Made], callers: Sequence[Caller]
) -> list[str]:
    """A generation that was completed has its conversion, unless that was deleted, others have none; none was made twice, and each is metered with
    what it used."""
    completed = {one.generation_id for one in generations if one.state == "completed"}
    deleted = {caller.conversion.conversion_id for caller in callers if caller.conversion and caller.deleted}
    faults = [
        f"{one} was completed, and is not in the table" for one in sorted(completed - rows.keys() - deleted)
    ]
    faults += [f"{one} is in the table, and was not completed" for one in sorted(rows.keys() - completed)]
    sets = Counter(
        (one.caller, one.request_id) for one in generations if one.request_id and one.state == "completed"
    )
    faults += [
        f"{count} conversions were made for the request_id {request_id}"
        for (_, request_id), count in sets.items()
        if count > 1
    ]
    heard = _heard(callers)
    for one in generations:
        row = rows.get(one.generation_id)
        if one.state == "completed":
            faults += _hold_made(one, row, tree)
        else:
            faults += _hold_unmade(one, heard.get(one.generation_id))
    return faults


def books_of(generations: Sequence[Made]) -> Mapping[Account, Tally]:
    """What the table of generations says of usage."""
    places = UNITS.index(Unit.CHARACTERS), UNITS.index(Unit.AUDIO_MILLISECONDS)
    rows = []
    for one in generations:
        amounts = [0] * len(UNITS)
        amounts[places[0]], amounts[places[1]] = one.characters, one.milliseconds
        rows.append((Account(one.user_id, one.model, one.status or 0, refused=False), (1, *amounts)))
    return added(rows)


def _told(row: Row) -> tuple[object, ...]:
    return (
        row.conversion_id,
        row.user_id,
        row.characters,
        row.duration_seconds,
        row.size_bytes,
        row.sha256,
        row.s3_key,
        row.s3_bucket,
        row.request_id,
    )


def _heard(callers: Sequence[Caller]) -> Mapping[str, Hearing]:
    """Of each generation the stream that came farthest."""
    hearings = (hearing for caller in callers for hearing in caller.hearings)
    return {one.conversion_id: one for one in sorted(hearings, key=lambda one: one.nanoseconds)}


def _hold_made(one: Made, row: Row | None, tree: Tree) -> Iterator[str]:
    if one.characters != one.asked or not one.milliseconds:
        yield f"{one.generation_id} has {one.asked} characters; {one.characters} and {one.milliseconds} ms were metered"
    if row is None:
        return
    if not row.characters == one.characters == len(row.text):
        yield f"{one.generation_id}: {len(row.text)} characters, {row.characters} in the table, {one.characters} metered"
    samples = samples_of(row, tree)
    if samples is None:
        return
    seconds = samples / row.sample_rate
    if one.milliseconds != round(samples * 1000 / row.sample_rate):
        yield f"{one.generation_id} has {seconds:.4f} s of audio; {one.milliseconds} ms were metered"
    if row.duration_seconds != round(seconds, 2):
        yield f"{one.generation_id} has {seconds:.4f} s of audio, in the table {row.duration_seconds}"
    if row.format == "wav" and row.size_bytes != HEADERS["wav"] + 2 * samples:
        yield f"{one.generation_id} has {row.size_bytes} bytes for {samples} samples"


def _hold_unmade(one: Made, hearing: Hearing | None) -> Iterator[str]:
    """What was spoken by the end is used: no more text than was asked for, and no less audio than was heard."""
    if one.characters > one.asked:
        yield f"{one.generation_id} has {one.asked} characters; {one.characters} were metered"
    if one.characters and not one.milliseconds:
        yield f"{one.generation_id}: {one.characters} characters were metered, and no audio"
    # What a dead server has spoken, nobody knows.
    if hearing is None or one.state != "cancelled":
        return
    milliseconds = hearing.nanoseconds // 10**6
    if one.milliseconds < milliseconds:
        yield f"{milliseconds} ms of {one.generation_id} were heard; {one.milliseconds} were metered"
