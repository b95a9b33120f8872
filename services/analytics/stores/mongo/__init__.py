"""Analytics on MongoDB, by writes of single documents alone: no transaction, nothing that needs a replica set; needs services/infra/mongo.

A batch is one document, whose insertion is what a transaction is elsewhere: a unique index over the ids of all events lets in either all of it or
nothing. Figures are folded from batches: each is an addition on the condition that the batch is not in it yet, so folding may be repeated, by
several processes at once, and be taken up by another after a crash. `record` answers when its batch is folded. So questions, which read
figures and the batches' events where no figure is fine enough, have all events whose `record` has answered, each once, and may have others.

Ids are UUIDv7s as text; times of events are microseconds since 1970, intervals begin at whole minutes since 1970, and dates are the server's.

analytics_batches    _id batch_id · ids of the events, by parts (unique) · first_id, last_id · minutes that events are of ·
                     parts: one for each series, with its fields, those of people among them; key: a digest of these as they came, by which figures
                     are found for good; starts, latencies, first_tokens, session_ids, request_ids and quantities {unit: amounts}, each with an
                     entry for each event; session_ids and request_ids are empty for a deleted person ·
                     fold: "due" until all figures have it, then "done" since folded_at, and nothing once no process can be at it any more
analytics_figures    _id "<table> <at> <version> <key>" · table people_quarters, people_days, system_minutes, system_quarters or system_days ·
                     at: when the interval began · day it is of, and version of that day · the fields of the series (of the system without people
                     and project) · events,
                     quantities {unit: amount}, latency and first_token {bucket: count} · batches that are in it and may be folded once more
analytics_days       _id day since 1970, for those that were made anew · version that counts (0 for other days) · last version that was begun ·
                     building: the one that is being made, which gets what arrives, too · stale: those that nobody reads any more · changed_at
analytics_forgotten  _id digest of the user_id of a deleted person · noted_at
analytics_rejected   _id rejected_event_id · digest of source and payload (unique where present) · source, payload, user_id, violations,
                     received_at, receive_count
analytics_prices     _id price_id · model, unit, variant, effective_at (unique together) · nano_usd, source, created_at
analytics_deletions  _id "position" · revocation_id
analytics_locks      _id "repair" · owner_id, beat_at; _id "clock" · at: the server's time when it was last asked
analytics_limits     _id "<class> <caller>" · ends_at, used
"""
