"""Rate limits: how many calls of a class a caller may make in a minute, as the contract's policies name the classes and settings their
numbers; needs a PostgreSQL schema of the service that is called, or its memory where no replica can exist."""
