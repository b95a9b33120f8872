"""Answers messages with language models, as streams that survive: a generation is a durable record of events, and an event is
delivered after it is durable. Needs PostgreSQL, and a provider per model; `echo` is built in."""
