"""The table `tts_conversions` as other programs know it: they find their columns in it, and write rows of their own."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from services.speech.model import Conversion, Format
from tests.fakes.speech_stores import USED, SpeechStores, conversion_of, event_of, ids

COLUMNS = [
    ("id", "bigint", None, "NO", "nextval('speech.tts_conversions_id_seq'::regclass)"),
    ("user_id", "character varying", 255, "NO", None),
    ("text", "text", None, "NO", None),
    ("audio_url", "character varying", 500, "NO", None),
    ("model", "character varying", 100, "YES", "'gtts'::character varying"),
    ("voice", "character varying", 100, "YES", None),
    ("language", "character varying", 10, "YES", "'en'::character varying"),
    ("duration_seconds", "numeric", None, "YES", None),
    ("file_size_bytes", "bigint", None, "YES", None),
    ("s3_key", "character varying", 500, "NO", None),
    ("s3_bucket", "character varying", 255, "YES", None),
    ("created_at", "timestamp with time zone", None, "NO", "now()"),
    ("metadata", "json", None, "YES", None),
]
INDEXES = {
    "idx_tts_conversions_user_id": "(user_id)",
    "idx_tts_conversions_created_at": "(created_at)",
    "idx_tts_conversions_id": "(id)",
}
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def test_the_columns_and_indexes_are_there_that_others_know(conversion_tables: SpeechStores) -> None:
    found = await conversion_tables.rows(
        "select column_name, data_type, character_maximum_length, is_nullable, column_default"
        " from information_schema.columns where table_schema = 'speech' and table_name = 'tts_conversions'"
        " order by ordinal_position"
    )
    assert found[: len(COLUMNS)] == COLUMNS
    assert all(default for _, _, _, _, default in found[len(COLUMNS) :]), "a row can do without ours"
    scale = await conversion_tables.rows(
        "select numeric_precision, numeric_scale from information_schema.columns"
        " where table_schema = 'speech' and table_name = 'tts_conversions' and column_name = 'duration_seconds'"
    )
    assert scale == [(10, 2)]
    indexes = dict(
        await conversion_tables.rows(
            "select indexname, indexdef from pg_indexes where schemaname = 'speech' and tablename = 'tts_conversions'"
        )
    )
    assert {name: indexes[name].rpartition("btree ")[2] for name in INDEXES} == INDEXES


async def test_a_row_that_another_program_writes_is_a_conversion(conversion_tables: SpeechStores) -> None:
    store, rows = conversion_tables.store, conversion_tables.rows
    earlier = await conversion_tables.completed()
    ((id_, create_time),) = await rows(
        "insert into speech.tts_conversions (user_id, text, audio_url, s3_key)"
        " values ('ana', 'hola', 'https://cdn.example/a.mp3', 'a.mp3') returning conversion_id::text, created_at"
    )
    assert uuid.UUID(id_).version == 7
    assert uuid.UUID(id_).variant == uuid.RFC_4122
    later = await conversion_tables.completed()
    page = await store.page("ana", PageRequest(10))
    assert sorted(ids(page.items)) == sorted([earlier.conversion_id, id_, later.conversion_id])
    nothing = Conversion(
        *(id_, "ana", "", "", "hola", "", "gtts", "", "", "en", Format.MP3),
        *(0, 1.0, 0.0, 0, 0.0, 0, "", "", 0, create_time),
    )
    assert await store.conversion(id_) == nothing

    await rows(
        "update speech.tts_conversions set model = null, language = null where text = 'hola' returning 1"
    )
    bare = replace(nothing, model="", language="")
    for metadata in ("null", "[1]", '"text"', '{"latency_ms": "fast", "cost_usd": true, "request_id": 7}'):
        await rows(
            "update speech.tts_conversions set metadata = %(metadata)s::json where text = 'hola' returning 1",
            metadata=metadata,
        )
        assert await store.conversion(id_) == bare
    assert await store.delete(id_, "ana")
    assert set(await conversion_tables.due()) == {id_}


@pytest.mark.parametrize("known", [True, False])
async def test_another_program_reads_what_we_write(conversion_tables: SpeechStores, known: bool) -> None:
    request_id = new_id() if known else ""
    made = await conversion_tables.started(
        user_id="ana" if known else "", create_time=NOON, request_id=request_id
    )
    told = conversion_of(made) if known else replace(conversion_of(made), s3_bucket="", cost_usd=None)
    assert await conversion_tables.store.complete(told, USED, event_of(made))
    ((row, metadata),) = await conversion_tables.rows(
        "select to_jsonb(c) - 'id' - 'metadata' - 'sha256', c.metadata from speech.tts_conversions c"
    )
    folder = f"requests/2026/05/04/{told.conversion_id}"
    theirs = {name: row[name] for name, *_ in COLUMNS if name in row}
    assert theirs == {
        "user_id": "ana" if known else "anonymous",
        "text": "hello",
        "audio_url": f"antiphon://speech/conversions/{told.conversion_id}/audio",
        "model": "espeak-ng",
        "voice": "es-419",
        "language": "es-419",
        "duration_seconds": 1.23,
        "file_size_bytes": 4321,
        "s3_key": f"{folder}/audio/original.ogg",
        "s3_bucket": "voices" if known else None,
        "created_at": row["created_at"],
    }
    assert datetime.fromisoformat(row["created_at"]) == NOON
    assert metadata == {
        "request_id": request_id or None,
        "provider": "espeak",
        "latency_ms": 250,
        "status_code": 200,
        "cost_usd": 0.000075 if known else None,
        "record_key": f"{folder}/record.json",
        "input_key": f"{folder}/input.json",
    }
