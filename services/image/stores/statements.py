"""The SQL of Image's index. Each write is one statement, or one short transaction of a few.

Whoever locks several rows of a table does so in the order of their keys, and images before filings: so nobody waits for one another.
"""

from __future__ import annotations

IMAGE_COLUMNS = (
    "image_id, generation_id, user_id, api_key_id, request_id, prompt, negative_prompt, size, style, model, provider, seed, index,"
    " width, height, sha256, size_bytes, revised_prompt, processing_time_ms, created_at"
)
IMAGE_READ = ", ".join(
    f"i.{name}::text" if name in ("image_id", "generation_id") else f"i.{name}"
    for name in IMAGE_COLUMNS.split(", ")
)

GENERATION_COLUMNS = """
generation_id::text, image_ids::text[], user_id, api_key_id, coalesce(request_id::text, ''), size, style,
model, provider, seed, count, state, failure, created_at, ended_at
"""

# -- filings that follow from other changes; the group is that of `model.group_of`

_DAY = "(created_at at time zone 'UTC')::date"
_GROUP = f"case when user_id = '' then '/' || image_id else user_id || '/' || {_DAY}::text end"
_INTO_FILINGS = "insert into image.filings as kept (image_id, group_key, user_id, day, change, again)"
_ANEW = (
    "revision = default, attempts = 0, again = greatest(kept.again, excluded.again), due_at = excluded.due_at"
)
_IN_THE_PLACE_OF_ANOTHER = f"""
on conflict (image_id) do update
set change = excluded.change, group_key = excluded.group_key, user_id = excluded.user_id, {_ANEW}
"""
# What is still to be filed for an image that is not in the index is its removal, and that it was in the index is known by it alone.
_BESIDE_A_REMOVAL = f"on conflict (image_id) do update set {_ANEW}"
_REMOVE_GONE = f"""
{_INTO_FILINGS}
select image_id, {_GROUP}, user_id, {_DAY}, 'remove', 0 from gone order by image_id
{_IN_THE_PLACE_OF_ANOTHER}
"""

_DISCARDED = f"""discarded as (
    {_INTO_FILINGS}
    select image_id, {_GROUP}, user_id, {_DAY}, 'discard', %(again)s from gone order by image_id
    {_BESIDE_A_REMOVAL}
)"""

# -- generations

BEGIN = """
insert into image.generations (generation_id, image_ids, user_id, api_key_id, caller, request_id, size, style,
                               model, provider, seed, count, state, owner_id, expires_at, created_at)
values (%(generation_id)s, %(image_ids)s::uuid[], %(user_id)s, %(api_key_id)s, %(caller)s, %(request_id)s,
        %(size)s, %(style)s, %(model)s, %(provider)s, %(seed)s, %(count)s, 'running', %(owner_id)s, clock_timestamp() + %(ttl)s,
        %(created_at)s)
on conflict (generation_id) do nothing
"""

CLAIMED = """
select resource_id::text, digest from image.claims where caller = %(caller)s and request_id = %(request_id)s
"""

GENERATION = f"select {GENERATION_COLUMNS} from image.generations where generation_id = %(generation_id)s"

RENEW = """
update image.generations set expires_at = clock_timestamp() + %(ttl)s
where generation_id = any(%(generation_ids)s::uuid[]) and owner_id = %(owner_id)s and state = 'running'
"""

# The row that runs is ended by one: whoever waited for another's end finds it running no more, and nothing of this is done.
END = f"""
with ended as (
    update image.generations
    set state = %(state)s, failure = %(failure)s, expires_at = null, event_id = %(event_id)s::uuid, event_status = %(event_status)s,
        event_reason = %(event_reason)s, latency = %(latency)s, images = %(images)s,
        ended_at = coalesce(created_at + %(latency)s::bigint * interval '1 microsecond', greatest(clock_timestamp(), created_at))
    where generation_id = %(generation_id)s and state = 'running' and (not %(silent)s or expires_at <= clock_timestamp())
    returning generation_id, image_ids, caller, request_id, created_at
), freed as (
    delete from image.claims c using ended
    where %(free)s and c.caller = ended.caller and c.request_id = ended.request_id and c.resource_id = ended.generation_id
), metered as (
    insert into image.outbox (event_id, user_id, payload)
    select %(event_id)s::uuid, %(event_user_id)s, %(event)s from ended where %(event_id)s::uuid is not null
), gone as (
    select planned.image_id, '' as user_id, created_at from ended, unnest(image_ids) as planned (image_id)
    where %(remove)s and not exists (select from image.images i where i.image_id = planned.image_id)
), {_DISCARDED}
select exists (select from ended)
"""

DISCARD = f"""
with gone as (
    select planned.image_id, '' as user_id, created_at from image.generations, unnest(image_ids) as planned (image_id)
    where generation_id = %(generation_id)s and state <> 'running'
        and not exists (select from image.images i where i.image_id = planned.image_id)
), {_DISCARDED}
select 1
"""

ENDED_SO = """
select exists (select from image.generations where generation_id = %(generation_id)s and state = %(state)s
               and event_id is not distinct from %(event_id)s::uuid)
"""

_SILENT = f"""
select {GENERATION_COLUMNS} from image.generations where state = 'running' and {{which}} order by generation_id limit %(limit)s
"""
SILENT = _SILENT.format(which="expires_at <= now()")
OTHERS = _SILENT.format(which="owner_id <> %(but)s")

# -- images

ADD_IMAGE = f"""
insert into image.images ({IMAGE_COLUMNS}) values ({", ".join(f"%({name})s" for name in IMAGE_COLUMNS.split(", "))})
on conflict (image_id) do nothing
"""

FILE_ADDED = f"""
{_INTO_FILINGS}
select image_id, {_GROUP}, user_id, {_DAY}, 'add', 0 from image.images where image_id = any(%(image_ids)s::uuid[]) order by image_id
{_IN_THE_PLACE_OF_ANOTHER}
"""

IMAGE = f"select {IMAGE_READ} from image.images i where image_id = %(image_id)s"

IMAGES_OF = f"select {IMAGE_READ} from image.images i where generation_id = %(generation_id)s order by generation_id, index"

# Keys and sizes come first, so that no more is read than an answer has room for.
_PAGE = f"""
with found as (
    select image_id, octet_length(prompt) + octet_length(negative_prompt) + octet_length(revised_prompt) as bytes
    from image.images
    where image_id < coalesce(%(after)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') {{which}}
    order by image_id desc limit %(size)s + 1 offset %(skip)s
), summed as (
    select image_id, row_number() over behind as place, sum(bytes) over behind as bytes, count(*) over () as found
    from found window behind as (order by image_id desc)
)
select {IMAGE_READ}, s.found from summed s join image.images i on i.image_id = s.image_id
where place <= %(size)s and (place = 1 or bytes <= %(max_bytes)s) order by s.image_id desc
"""
PAGE_OF_ALL = _PAGE.format(which="")
PAGE_OF_ONE = _PAGE.format(which="and user_id = %(user_id)s")
COUNT_OF_ALL = "select count(*) from image.images"
COUNT_OF_ONE = "select count(*) from image.images where user_id = %(user_id)s"

DELETE = f"""
with gone as (
    delete from image.images where image_id = %(image_id)s and (%(user_id)s::text is null or user_id = %(user_id)s)
    returning image_id, user_id, created_at
) {_REMOVE_GONE}
"""

# No removal goes with it: whoever says that the objects are gone may have looked in the wrong place.
FORGET = """
delete from image.images i
where i.image_id = any(%(image_ids)s::uuid[]) and not exists (select from image.filings f where f.image_id = i.image_id)
"""

EXPIRE = f"""
with old as (
    select image_id from image.images where user_id = '' and created_at < %(before)s
    order by created_at limit %(limit)s for update skip locked
), gone as (
    delete from image.images i using old where i.image_id = old.image_id returning i.image_id, i.user_id, i.created_at
) {_REMOVE_GONE}
"""

DELETE_OF_PERSON = f"""
with theirs as (
    select image_id from image.images where user_id = %(user_id)s and user_id <> '' order by image_id limit 200 for update
), gone as (
    delete from image.images i using theirs where i.image_id = theirs.image_id returning i.image_id, i.user_id, i.created_at
) {_REMOVE_GONE}
"""

# Whoever was removed while this was restored is seen by a statement of its own, behind the wait for that removal.
TAKE_BACK = """
delete from image.images i using image.filings f
where i.image_id = any(%(image_ids)s::uuid[]) and f.image_id = i.image_id and f.change = 'remove'
"""

# Those with images stay, so a walk that began anew each time would see more and more of them in vain.
PRUNE = """
with walked as (
    select generation_id, created_at from image.generations
    where state <> 'running' and created_at >= %(after)s and created_at < %(before)s order by created_at limit %(walk)s
), old as (
    select generation_id from image.generations g
    where generation_id in (select w.generation_id from walked w
                            where not exists (select from image.images i where i.generation_id = w.generation_id)
                            order by w.created_at limit %(limit)s)
    order by generation_id for update skip locked
), gone as (
    delete from image.generations g using old where g.generation_id = old.generation_id returning 1
)
select (select count(*) from gone), (select count(*) from walked), (select max(created_at) from walked)
"""

PRUNE_LEASES = """
delete from image.filing_leases where group_key in (
    select group_key from image.filing_leases where expires_at < now() - interval '1 minute' for update skip locked
)
"""
