"""The SQL of removals: how they come to be with other changes, and what becomes of them."""

from __future__ import annotations

_DAY = "(created_at at time zone 'UTC')::date"

# Whoever is at the removal may have passed by the object that this is for, and is not to end it.
_ANEW = """
on conflict (conversion_id) do update
set again = greatest(kept.again, excluded.again), taken = false, repeating = false, due_at = excluded.due_at
"""

REMOVE_GONE = f"""
insert into speech.removals as kept (conversion_id, day)
select conversion_id, {_DAY} from gone order by conversion_id
{_ANEW}
"""

DISCARDED = f"""discarded as (
    insert into speech.removals as kept (conversion_id, day, again)
    select generation_id, {_DAY}, %(again)s::integer from left_behind
    where not exists (select from speech.tts_conversions c where c.conversion_id = generation_id)
    {_ANEW}
)"""

DUE = """
with oldest as (
    select conversion_id, due_at from speech.removals where due_at <= now()
    order by due_at, conversion_id limit %(limit)s for update skip locked
), taken as (
    update speech.removals set taken = true, due_at = now() + %(pause)s::interval
    where conversion_id = any(array(select conversion_id from oldest))
    returning conversion_id, day, again
)
select t.conversion_id::text, t.day, t.again from taken t join oldest o on o.conversion_id = t.conversion_id
order by o.due_at, o.conversion_id
"""

REMOVED = """
with done as (
    select * from unnest(%(conversion_ids)s::uuid[], %(agains)s::integer[]) as done (conversion_id, again)
), theirs as (
    select r.conversion_id, r.again from speech.removals r join done on r.conversion_id = done.conversion_id
    where r.taken and r.again = done.again
    order by r.conversion_id for update of r
), forgotten as (
    delete from speech.removals r using theirs where r.conversion_id = theirs.conversion_id and theirs.again = 0
)
update speech.removals r set again = r.again - 1, taken = false, repeating = true, due_at = now() + %(repeat)s::interval
from theirs where r.conversion_id = theirs.conversion_id and theirs.again > 0
"""

_MOST_COUNTED = 100_000
# One that is done, and is only to be done once more for safety, is nothing to wait for.
UNREMOVED = f"""
select count(*) from (select from speech.removals where not repeating limit {_MOST_COUNTED}) counted
"""
