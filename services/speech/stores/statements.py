"""The SQL of conversions and of the generations that make them. Each write is one statement, or one short transaction of a few.

Whoever locks several rows of a table does so in the order of their keys, and conversions before removals: so nobody waits for one another.
"""

from __future__ import annotations

from services.speech.stores.removal_statements import DISCARDED, REMOVE_GONE

GENERATION_COLUMNS = """
generation_id::text, user_id, api_key_id, coalesce(request_id::text, ''), operation, asked_characters, model, provider,
voice, language, format, rate, pitch, state, failure, created_at, ended_at
"""

CONVERSION_COLUMNS = (
    "conversion_id, user_id, api_key_id, text, ssml, audio_url, model, voice, language, format, sample_rate, rate, pitch, characters,"
    " duration_seconds, file_size_bytes, sha256, s3_key, s3_bucket, created_at, metadata"
)
CONVERSION_READ = """
c.conversion_id::text, c.user_id, c.api_key_id, c.text, c.ssml, coalesce(c.model, ''), coalesce(c.voice, ''), coalesce(c.language, ''), c.format,
c.sample_rate, c.rate, c.pitch, c.characters, coalesce(c.duration_seconds, 0), coalesce(c.file_size_bytes, 0), c.sha256,
coalesce(c.s3_bucket, ''), c.created_at, c.metadata
"""

# -- generations

BEGIN = """
insert into speech.generations (generation_id, user_id, api_key_id, caller, request_id, operation, asked_characters, model, provider,
                                voice, language, format, rate, pitch, state, owner_id, expires_at, created_at)
values (%(generation_id)s, %(user_id)s, %(api_key_id)s, %(caller)s, %(request_id)s, %(operation)s, %(asked_characters)s, %(model)s,
        %(provider)s, %(voice)s, %(language)s, %(format)s, %(rate)s, %(pitch)s, 'running', %(owner_id)s, clock_timestamp() + %(ttl)s,
        %(created_at)s)
on conflict (generation_id) do nothing
"""

CLAIMED = """
select resource_id::text, digest from speech.claims where caller = %(caller)s and request_id = %(request_id)s
"""

GENERATION = f"select {GENERATION_COLUMNS} from speech.generations where generation_id = %(generation_id)s"

RENEW = """
update speech.generations set expires_at = clock_timestamp() + %(ttl)s
where generation_id = any(%(generation_ids)s::uuid[]) and owner_id = %(owner_id)s and state = 'running'
"""

# Two that end the same generation wait for one another at its row; the later one finds that it runs no more, and does nothing.
END = f"""
with ended as (
    update speech.generations
    set state = %(state)s, failure = %(failure)s, expires_at = null, event_id = %(event_id)s::uuid, event_status = %(event_status)s,
        event_reason = %(event_reason)s, latency = %(latency)s, first_audio = %(first_audio)s,
        characters = %(characters)s, audio_milliseconds = %(audio_milliseconds)s,
        ended_at = coalesce(created_at + %(latency)s::bigint * interval '1 microsecond', greatest(clock_timestamp(), created_at))
    where generation_id = %(generation_id)s and state = 'running' and (not %(silent)s or expires_at <= clock_timestamp())
    returning generation_id, caller, request_id, created_at
), freed as (
    delete from speech.claims c using ended
    where %(free)s and c.caller = ended.caller and c.request_id = ended.request_id and c.resource_id = ended.generation_id
), metered as (
    insert into speech.outbox (event_id, user_id, payload)
    select %(event_id)s::uuid, %(event_user_id)s, %(event)s from ended where %(event_id)s::uuid is not null
), left_behind as (
    select generation_id, created_at from ended where %(remove)s
), {DISCARDED}
select exists (select from ended)
"""

DISCARD = f"""
with left_behind as (
    select generation_id, created_at from speech.generations where generation_id = %(generation_id)s and state <> 'running'
), {DISCARDED}
select 1
"""

ENDED_SO = """
select exists (select from speech.generations where generation_id = %(generation_id)s and state = %(state)s
               and event_id is not distinct from %(event_id)s::uuid)
"""

_SILENT = f"""
select {GENERATION_COLUMNS} from speech.generations where state = 'running' and {{which}} order by generation_id limit %(limit)s
"""
SILENT = _SILENT.format(which="expires_at <= now()")
OTHERS = _SILENT.format(which="owner_id <> %(but)s")

# -- conversions

ADD_CONVERSION = f"""
insert into speech.tts_conversions ({CONVERSION_COLUMNS})
values ({", ".join(f"%({name})s" for name in CONVERSION_COLUMNS.split(", "))})
"""

CONVERSION = f"select {CONVERSION_READ} from speech.tts_conversions c where conversion_id = %(conversion_id)s"

# Keys and sizes come first, so that no more is read than an answer has room for.
_PAGE = f"""
with found as (
    select conversion_id, octet_length(text) + octet_length(ssml) as bytes
    from speech.tts_conversions
    where conversion_id < coalesce(%(after)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') {{which}}
    order by conversion_id desc limit %(size)s + 1 offset %(skip)s
), summed as (
    select conversion_id, row_number() over behind as place, sum(bytes) over behind as bytes, count(*) over () as found
    from found window behind as (order by conversion_id desc)
)
select {CONVERSION_READ}, s.found from summed s join speech.tts_conversions c on c.conversion_id = s.conversion_id
where place <= %(size)s and (place = 1 or bytes <= %(max_bytes)s) order by s.conversion_id desc
"""
PAGE_OF_ALL = _PAGE.format(which="")
PAGE_OF_ONE = _PAGE.format(which="and user_id = %(user_id)s")
COUNT_OF_ALL = "select count(*) from speech.tts_conversions"
COUNT_OF_ONE = "select count(*) from speech.tts_conversions where user_id = %(user_id)s"

DELETE = f"""
with gone as (
    delete from speech.tts_conversions
    where conversion_id = %(conversion_id)s and (%(user_id)s::text is null or user_id = %(user_id)s)
    returning conversion_id, created_at
) {REMOVE_GONE}
"""

EXPIRE = f"""
with old as (
    select conversion_id from speech.tts_conversions where user_id = 'anonymous' and created_at < %(before)s
    order by created_at limit %(limit)s for update skip locked
), gone as (
    delete from speech.tts_conversions c using old where c.conversion_id = old.conversion_id returning c.conversion_id, c.created_at
) {REMOVE_GONE}
"""

DELETE_OF_PERSON = f"""
with theirs as (
    select conversion_id from speech.tts_conversions where user_id = %(user_id)s and user_id <> 'anonymous'
    order by conversion_id limit 200 for update
), gone as (
    delete from speech.tts_conversions c using theirs where c.conversion_id = theirs.conversion_id
    returning c.conversion_id, c.created_at
) {REMOVE_GONE}
"""

# Those with a conversion stay, so a walk that began anew each time would see more and more of them in vain.
PRUNE = """
with walked as (
    select generation_id, created_at from speech.generations
    where state <> 'running' and created_at >= %(after)s and created_at < %(before)s order by created_at limit %(walk)s
), old as (
    select generation_id from speech.generations
    where generation_id in (select w.generation_id from walked w
                            where not exists (select from speech.tts_conversions c where c.conversion_id = w.generation_id)
                            order by w.created_at limit %(limit)s)
    order by generation_id for update skip locked
), gone as (
    delete from speech.generations g using old where g.generation_id = old.generation_id returning 1
)
select (select count(*) from gone), (select count(*) from walked), (select max(created_at) from walked)
"""
