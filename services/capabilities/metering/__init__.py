"""What calls used: one meter for all modalities, written to an outbox in the transaction of the result. Needs a table in the
schema of the service that uses it."""
