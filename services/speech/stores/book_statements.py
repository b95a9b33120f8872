"""The SQL of what was used, as the generations' rows say it."""

from __future__ import annotations

from services.speech.stores.statements import GENERATION_COLUMNS

USAGE = """
select user_id, model, event_status, count(*), coalesce(sum(characters), 0)::bigint, coalesce(sum(audio_milliseconds), 0)::bigint
from speech.generations where event_id >= %(first)s and event_id < %(last)s
group by user_id, model, event_status order by user_id, model, event_status limit %(limit)s
"""

# What calls made that began nothing is in no generation.
PENDING = """
select count(*) from speech.outbox o
where event_id >= %(first)s and event_id < %(last)s and set_aside is null
  and exists (select from speech.generations g where g.event_id = o.event_id)
"""

# Locked against the deletion of their person until the events are where it finds them.
TOLD = f"""
select {GENERATION_COLUMNS}, event_id::text, event_status, event_reason, latency, first_audio, characters, audio_milliseconds
from speech.generations where event_id >= %(first)s and event_id < %(last)s and event_id > %(after)s
order by event_id limit %(limit)s for share
"""

TELL_AGAIN = """
insert into speech.outbox as kept (event_id, user_id, payload)
select * from unnest(%(event_ids)s::uuid[], %(user_ids)s::text[], %(payloads)s::bytea[])
on conflict (event_id) do update
set user_id = excluded.user_id, payload = excluded.payload, set_aside = null, created_at = clock_timestamp()
where kept.set_aside is not null
"""
