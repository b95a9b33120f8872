"""The SQL of filings, and of the leases of their groups."""

from __future__ import annotations

from services.image.stores.statements import IMAGE_READ

# A lease that another took while this waited for its row is in force by the time that is then.
_LEASE = """
insert into image.filing_leases as held (group_key, lease_id, expires_at)
select group_key, %(lease_id)s::uuid, clock_timestamp() + %(ttl)s::interval from ({groups}) free order by group_key
on conflict (group_key) do update
set lease_id = excluded.lease_id, expires_at = clock_timestamp() + %(ttl)s::interval where held.expires_at <= clock_timestamp()
returning group_key
"""

LEASE_DUE = _LEASE.format(
    groups="""
    select distinct group_key from (
        select f.group_key from image.filings f
        where f.due_at <= now()
          and not exists (select from image.filing_leases l where l.group_key = f.group_key and l.expires_at > now())
        order by f.due_at, f.image_id limit %(limit)s
    ) oldest
"""
)

LEASE_GROUP = _LEASE.format(
    groups="""
    select %(group)s::text as group_key
    where exists (select from image.filings where group_key = %(group)s)
      and not exists (select from image.filing_leases where group_key = %(group)s and expires_at > now())
"""
)

TAKEN = f"""
select f.image_id::text, f.group_key, f.user_id, f.day, f.change, f.revision, f.attempts, f.again, {IMAGE_READ}
from image.filings f left join image.images i on i.image_id = f.image_id and f.change = 'add'
where f.group_key = any(%(groups)s::text[]) and (%(all)s or f.due_at <= now())
order by f.due_at, f.image_id limit %(limit)s
"""

WAITS = "select exists (select from image.filings where group_key = %(group)s)"

LOCK = "select 1 from image.filings where image_id = any(%(image_ids)s::uuid[]) order by image_id for update"

DONE = """
with done as (
    select * from unnest(%(image_ids)s::uuid[], %(revisions)s::bigint[]) as done (image_id, revision)
), forgotten as (
    delete from image.filings f using done
    where f.image_id = done.image_id and f.revision = done.revision and f.again = 0
    returning f.image_id
), repeated as (
    update image.filings f set again = f.again - 1, revision = default, attempts = 0, due_at = now() + %(repeat)s::interval
    from done where f.image_id = done.image_id and f.revision = done.revision and f.again > 0
    returning f.image_id
)
select image_id::text from forgotten union all select image_id::text from repeated
"""

# Of those whose image is there, another has filed the very same.
OVERTAKEN = """
insert into image.filings as kept (image_id, group_key, user_id, day, change)
select late.*, 'remove'
from unnest(%(image_ids)s::uuid[], %(groups)s::text[], %(user_ids)s::text[], %(days)s::date[]) as late (image_id, group_key, user_id, day)
where not exists (select from image.images i where i.image_id = late.image_id)
order by late.image_id
on conflict (image_id) do update set change = 'remove', revision = default, attempts = 0, due_at = excluded.due_at
"""

FAILED = """
update image.filings f set attempts = f.attempts + 1, due_at = now() + %(pause)s::interval
from unnest(%(image_ids)s::uuid[], %(revisions)s::bigint[]) as failed (image_id, revision)
where f.image_id = failed.image_id and f.revision = failed.revision
"""

LEAVE = """
delete from image.filing_leases where group_key in (
    select group_key from image.filing_leases
    where group_key = any(%(groups)s::text[]) and lease_id = %(lease_id)s order by group_key for update
)
"""

MOST_COUNTED = 100_000
# A removal that is done, and is only to be done once more for safety, is nothing to wait for.
UNFILED = f"""
select count(*) from (select from image.filings where due_at <= now() or attempts > 0 limit {MOST_COUNTED}) counted
"""

AT_WORK = """
select exists (select from image.filing_leases where starts_with(group_key, %(user_id)s::text || '/') and expires_at > now())
"""
