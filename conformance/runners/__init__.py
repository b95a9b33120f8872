"""A runner for each language that has a client. Each does what the driver tells it, and says what it saw."""
