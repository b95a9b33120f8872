"""The life of generations in this process: a record that is delivered after it is durable, the one writer of all records, the
tasks that read from providers, and the lease that lets this process write. Needs a RecordStore."""
