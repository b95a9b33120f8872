"""Chat on MongoDB, by writes of single documents alone: no transaction, no change stream, nothing that needs a replica set;
needs services/infra/mongo.

The document of a generation is what a transaction is elsewhere: the claim, what the call brings (its session, its question), the answer, the
usage event and the record's end are in it, so each step of a generation's life is one write. `chat_sessions` and `chat_messages` are
projections of it. A crash between two writes leaves a document that says so (`unprojected`), and the next reader of that person's chats
finishes what it says.

All ids are UUIDs as text, so their order is that of their making; times are whole microseconds since 1970, but for those of leases, watches
and limits, which are the server's dates.

chat_generations  _id generation_id · session_id, message_id, user_id, api_key_id, caller, request_id, digest, operation, project,
                  model, provider, requested_model, input_tokens_estimate, state, created_at · owner_id, epoch (the fence),
                  cancel_requested · claim "<caller> <request_id>" while it is held (unique where present) · started: event 1, as bytes ·
                  opens: the session that the call opens · asked: the message that it adds · unprojected: "asked" while one of these, "answered"
                  while the answer may not be in its projection yet · forgotten: true when its session was deleted, so that its end stores no
                  content
                  at its end also: finish_reason, failure, usage, reasoning, last_seq, tail_first_seq and tail (the last events, as bytes),
                  answer: the message · event_id, event_status, quantities, time_to_first_token (microseconds), usage_event (what the meter is
                  told, until it is shipped) and unshipped (its event_id as long) ·
                  ended_at · loose: the message_id of an answer that belongs to no session, which is kept here alone · later events_pruned
chat_events       _id {g: generation_id, s: first_seq} · seq, payload. A take-over inserts one at the position after the last: the late
                  write of the old owner meets its key, and nothing is on record behind it.
chat_leases       _id owner_id · epoch, beat, ttl (seconds). Whoever sees a beat unchanged for its ttl, by its own monotonic clock,
                  takes the process for dead.
chat_watches      _id {g, w: watcher_id} · g, ttl (seconds), at: when it was last told
chat_sessions     _id session_id · the fields of a session; created_at, updated_at · claim as above, of CreateSession and ForkSession ·
                  deleted: true and deleted_at for one that is gone: it stays for a while without content, so that no late write brings it back ·
                  pending: "copy" or "erase" while a fork or a deletion is not finished · copying: what a fork still has to copy · size
chat_messages     _id message_id · session_id, user_id, role, texts, parts, tool_calls, tool_call_id, generation_id, model, finish_reason,
                  created_at, claim (of CreateMessage) · words: what its text can be found by · size: bytes that it
                  takes in a response, about
chat_outbox       _id event_id · user_id, payload, created_at: usage events of calls that made nothing, until they are shipped · set_aside: why
                  one is not, generations' ones too
chat_relay        _id "lease" · owner_id, beat: whose turn it is to ship, timed as other leases are
chat_deletions    _id "position" · revocation_id
chat_limits       _id "<class> <caller>" · ends_at, used
"""
