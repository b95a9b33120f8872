"""The SQL of a chat call. Each write is one statement, so it is one step and one round trip."""

from __future__ import annotations

from services.capabilities.metering.model import Unit

# Why a generation failed, without words that may tell what it was about.
FAILURE_WITHOUT_CONTENT = """case when {0} is null then null else jsonb_build_object(
    'code', {0}->'code', 'reason', {0}->'reason', 'message', '', 'metadata', '{{}}'::jsonb, 'retry_after', null) end"""

# Locking the lease row fences: a take-over removes this row, and leaves it alone while a write is in progress; a write that waited for a
# take-over finds no row and does nothing.
_LEASE = """lease as materialized (
    select 1 from chat.leases where owner_id = %(owner_id)s::uuid and epoch = %(epoch)s for share
)"""

ACQUIRE = """
insert into chat.leases (owner_id, epoch, expires_at)
values (%(owner_id)s, 1, clock_timestamp() + %(ttl)s)
returning epoch
"""

RENEW = """
update chat.leases set expires_at = clock_timestamp() + %(ttl)s
where owner_id = %(owner_id)s and epoch = %(epoch)s
returning (select coalesce(array_agg(generation_id::text), '{}') from chat.generations
           where owner_id = %(owner_id)s and state = 'running' and cancel_requested),
          (select coalesce(array_agg(distinct w.generation_id::text), '{}')
           from chat.watches w join chat.generations g on g.generation_id = w.generation_id
           where w.expires_at > clock_timestamp() and g.owner_id = %(owner_id)s and g.state = 'running')
"""

RELEASE = (
    "update chat.leases set expires_at = '-infinity' where owner_id = %(owner_id)s and epoch = %(epoch)s"
)

# Whoever slept past its own lease takes nothing over, as nobody would look for it under that lease.
FENCE = """
delete from chat.leases
where owner_id in (
    select owner_id from chat.leases
    where owner_id <> %(owner_id)s::uuid and (%(sole_owner)s or expires_at < clock_timestamp())
      and exists (select from chat.leases where owner_id = %(owner_id)s::uuid and epoch = %(epoch)s)
    for update skip locked
)
"""

# What runs and whose owner has no lease becomes ours, so that the ordinary final write can end it. Owners are stepped through in the
# index of what runs, so that this costs little while there is nothing to adopt.
ADOPT = f"""
with recursive {_LEASE}, owners (owner_id) as (
    (select owner_id from chat.generations where state = 'running' order by owner_id limit 1)
    union all
    select (select g.owner_id from chat.generations g where g.state = 'running' and g.owner_id > o.owner_id order by g.owner_id limit 1)
    from owners o where o.owner_id is not null
), left_over as materialized (
    select generation_id from chat.generations
    where state = 'running' and exists (select from lease) and owner_id = any(array(
        select o.owner_id from owners o
        where o.owner_id <> %(owner_id)s::uuid and not exists (select from chat.leases l where l.owner_id = o.owner_id)
    ))
    limit %(limit)s for update skip locked
)
update chat.generations g set owner_id = %(owner_id)s::uuid, epoch = %(epoch)s
from left_over where g.generation_id = left_over.generation_id
returning g.generation_id::text
"""

# A session that this call does not open was read by its owner just before; if it was deleted since, nothing is stored.
BEGIN = f"""
with {_LEASE}, claim as (
    insert into chat.claims (caller, request_id, digest, resource_id)
    select %(caller)s, %(request_id)s::uuid, %(digest)s, %(generation_id)s::uuid
    where %(request_id)s::uuid is not null and exists (select from lease)
    on conflict do nothing
    returning 1
), opened as (
    insert into chat.sessions (session_id, user_id, title, project, model, system_prompt, created_at, updated_at)
    select %(session_id)s::uuid, %(user_id)s, %(title)s, %(project)s, %(session_model)s, %(system_prompt)s, %(now)s, %(now)s
    where %(opens_session)s and exists (select from lease)
      and (%(request_id)s::uuid is null or exists (select from claim))
    returning 1
), generation as (
    insert into chat.generations (generation_id, session_id, message_id, user_id, api_key_id, caller, request_id, operation,
                                  input_tokens_estimate, project, model, requested_model, provider, state, last_seq, owner_id, epoch,
                                  created_at)
    select %(generation_id)s::uuid, %(session_id)s::uuid, %(message_id)s::uuid, %(user_id)s, %(api_key_id)s, %(caller)s,
           %(request_id)s::uuid, %(operation)s, %(input_tokens_estimate)s, %(project)s, %(model)s, %(model)s, %(provider)s, 'running', 1, %(owner_id)s::uuid,
           %(epoch)s, %(now)s
    where exists (select from lease)
      and (%(request_id)s::uuid is null or exists (select from claim))
    returning 1
), message as (
    insert into chat.messages (message_id, session_id, role, texts, parts, created_at)
    select %(user_message_id)s::uuid, %(session_id)s::uuid, 'user', %(user_texts)s::text[], %(user_parts)s::jsonb, %(now)s
    where %(user_message_id)s::uuid is not null and exists (select from generation)
), titled as (
    update chat.sessions set title = %(new_title)s
    where %(new_title)s <> '' and session_id = %(session_id)s::uuid and title = '' and exists (select from generation)
), started as (
    insert into chat.generation_events (generation_id, first_seq, seq, payload)
    select %(generation_id)s::uuid, 1, 1, %(started)s where exists (select from generation)
)
select exists (select from lease), exists (select from generation)
"""

CLAIMED = """
select resource_id::text, digest from chat.claims where caller = %(caller)s and request_id = %(request_id)s
"""

# A repeated batch meets its own rows: one that is the same counts as accepted. `offset 0` keeps the conditions out of the join, so that
# each generation is found by its key, and not among all that are running.
APPEND = """
with lease as materialized (
    select 1 from chat.leases where owner_id = $1::uuid and epoch = $2::bigint for share
)
insert into chat.generation_events as kept (generation_id, first_seq, seq, payload)
select batch.generation_id, batch.first_seq, batch.seq, batch.payload
from (
    select batch.*, g.state, g.owner_id, g.epoch
    from unnest($3::uuid[], $4::bigint[], $5::bigint[], $6::bytea[]) as batch (generation_id, first_seq, seq, payload)
    join chat.generations g on g.generation_id = batch.generation_id
    offset 0
) batch
where batch.state = 'running' and batch.owner_id = $1::uuid and batch.epoch = $2::bigint and exists (select from lease)
on conflict (generation_id, first_seq) do update set seq = excluded.seq where kept.payload = excluded.payload
returning generation_id
"""

# A plan that was made while the tables were empty would read them from end to end, and one for the values at hand is made each time.
APPEND_SETTINGS = "set enable_seqscan = off; set plan_cache_mode = force_generic_plan"

# Whoever deletes a session marks what runs in it as pruned: a generation's own row is the only one that is read anew after a wait for it.
# What began while the session was being deleted finds no session.
FINISH = f"""
with {_LEASE}, place as (
    select session_id is not null and not exists (select from chat.sessions s where s.session_id = g.session_id) as gone
    from chat.generations g where generation_id = %(generation_id)s::uuid
), ended as (
    update chat.generations
    set state = %(state)s, finish_reason = %(finish_reason)s, usage = %(usage)s, events_pruned = events_pruned or place.gone,
        failure = case when events_pruned or place.gone then {FAILURE_WITHOUT_CONTENT.format("%(failure)s::jsonb")}
                       else %(failure)s::jsonb end,
        reasoning = case when events_pruned or place.gone then '' else %(reasoning)s end, last_seq = %(last_seq)s, ended_at = %(ended_at)s, model = %(model)s, provider = %(provider)s,
        event_id = %(event_id)s::uuid, event_status = %(event_status)s, quantities = %(quantities)s::bigint[],
        time_to_first_token = %(time_to_first_token)s
    from place
    where generation_id = %(generation_id)s::uuid and state = 'running'
      and owner_id = %(owner_id)s::uuid and epoch = %(epoch)s and exists (select from lease)
    returning session_id, caller, request_id, events_pruned as forgotten
), last_events as (
    insert into chat.generation_events (generation_id, first_seq, seq, payload)
    select %(generation_id)s::uuid, %(first_seq)s, %(last_seq)s, %(payload)s from ended
    where %(payload)s::bytea is not null and not ended.forgotten
), left_over as (
    delete from chat.generation_events e using ended where ended.forgotten and e.generation_id = %(generation_id)s::uuid
), message as (
    insert into chat.messages (message_id, session_id, role, texts, tool_calls, generation_id, model, finish_reason, created_at)
    select %(message_id)s::uuid, ended.session_id, 'assistant', %(texts)s::text[], %(tool_calls)s, %(generation_id)s::uuid,
           %(model)s, %(finish_reason)s, %(ended_at)s
    from ended
    where %(message_id)s::uuid is not null and not ended.forgotten
), touched as (
    update chat.sessions s set updated_at = %(ended_at)s from ended where s.session_id = ended.session_id
), freed as (
    delete from chat.claims c using ended
    where %(free_claim)s and not ended.forgotten and c.caller = ended.caller and c.request_id = ended.request_id
      and c.resource_id = %(generation_id)s::uuid
), metered as (
    insert into chat.outbox (event_id, user_id, payload)
    select %(event_id)s::uuid, %(event_user_id)s, %(event)s from ended where %(event_id)s::uuid is not null
)
select exists (select from ended)
"""

_COLUMNS = """
select generation_id::text, session_id::text, message_id::text, request_id::text, user_id, project, model, provider, state,
       created_at, {last_seq}, finish_reason, usage, {reasoning}, ended_at, failure, events_pruned, operation, api_key_id,
       input_tokens_estimate, coalesce(requested_model, model),
       session_id is not null and not exists (select from chat.sessions s where s.session_id = g.session_id)
"""
_GENERATION = _COLUMNS + "from chat.generations g where generation_id = %(generation_id)s"
GENERATION = _GENERATION.format(last_seq="last_seq", reasoning="reasoning")

_LAST_ON_RECORD = """(select e.seq from chat.generation_events e where e.generation_id = g.generation_id
                      order by e.first_seq desc limit 1)"""
HEAD = _GENERATION.format(
    last_seq=f"case when state = 'running' then coalesce({_LAST_ON_RECORD}, last_seq) else last_seq end",
    reasoning="''",
)

ANSWER = "select texts, tool_calls from chat.messages where message_id = %(message_id)s"

# Quantities are kept by the number of their unit, the first one at 1.
USAGE = """
select user_id, model, event_status, count(*), array[{sums}]
from chat.generations where event_id >= %(first)s and event_id < %(last)s
group by user_id, model, event_status order by user_id, model, event_status limit %(limit)s
""".format(sums=", ".join(f"coalesce(sum(quantities[{unit.value}]), 0)::bigint" for unit in Unit))

# Quite a few of the rows of a span in the past have no event in the outbox any more, so those that have are looked at. What calls made that began
# nothing is in no generation.
PENDING = """
select count(*) from chat.outbox o
where event_id >= %(first)s and event_id < %(last)s and set_aside is null
  and exists (select from chat.generations g where g.event_id = o.event_id)
"""

# Locked against the deletion of their person until the events are where it finds them.
TOLD = f"""
{_COLUMNS.format(last_seq="last_seq", reasoning="''")}, event_id::text, time_to_first_token
from chat.generations g where event_id >= %(first)s and event_id < %(last)s and event_id > %(after)s
order by event_id limit %(limit)s for share of g
"""

TELL_AGAIN = """
insert into chat.outbox as kept (event_id, user_id, payload)
select * from unnest(%(event_ids)s::uuid[], %(user_ids)s::text[], %(payloads)s::bytea[])
on conflict (event_id) do update
set user_id = excluded.user_id, payload = excluded.payload, set_aside = null, created_at = clock_timestamp()
where kept.set_aside is not null
"""

# Payloads stand one behind the other as the events in them do, so that a record is one value, however many rows it has. The last row that
# begins at or before the position is found by the key, and so is what is behind it, however long the record is.
EVENTS = """
select string_agg(payload, ''::bytea order by first_seq)
from (
    select first_seq, payload from chat.generation_events
    where generation_id = %(generation_id)s and seq > %(after_seq)s
      and first_seq >= coalesce((select max(first_seq) from chat.generation_events
                                 where generation_id = %(generation_id)s and first_seq <= %(after_seq)s), 0)
    order by first_seq limit %(limit)s
) behind
"""

REQUEST_CANCEL = """
update chat.generations set cancel_requested = true where generation_id = %(generation_id)s and state = 'running'
"""

PRUNE = """
with old as (
    select generation_id from chat.generations
    where ended_at < clock_timestamp() - %(older_than)s::interval and not events_pruned
    order by ended_at limit %(limit)s
    for update skip locked
), removed as (
    delete from chat.generation_events e using old where e.generation_id = old.generation_id
)
update chat.generations g set events_pruned = true from old where g.generation_id = old.generation_id
"""

FORGET_ANSWERS = """
with old as (
    select generation_id, message_id from chat.generations
    where session_id is null and ended_at < clock_timestamp() - %(older_than)s::interval
    order by ended_at limit %(limit)s
    for update skip locked
), events as (
    delete from chat.generation_events e using old where e.generation_id = old.generation_id
), answers as (
    delete from chat.messages m using old where m.message_id = old.message_id
)
delete from chat.generations g using old where g.generation_id = old.generation_id
"""

SESSION = """
select session_id::text, user_id, title, project, model, system_prompt, archived, created_at, updated_at,
       coalesce(forked_from_session_id::text, '')
from chat.sessions where session_id = %(session_id)s and user_id = %(user_id)s
"""

RUNNING = (
    "select generation_id::text from chat.generations where owner_id = %(owner_id)s and state = 'running'"
)

STATE = "select state from chat.generations where generation_id = %(generation_id)s"

# The newest messages, until they are too many or too much; the newest one always.
HISTORY = """
with recent as (
    select message_id, role, texts, tool_calls, tool_call_id, parts,
           octet_length(array_to_string(texts, '')) + octet_length(tool_calls::text)
           + coalesce(octet_length(parts::text), 0) as size
    from chat.messages where session_id = %(session_id)s order by message_id desc limit %(limit)s
), summed as (
    select *, sum(size) over (order by message_id desc) - size as before from recent
)
select message_id::text, role, texts, tool_calls, tool_call_id, parts from summed
where before = 0 or before + size <= %(max_bytes)s order by message_id desc
"""
