"""Generations: calls that make something, each a task that lives on its own, is leased by its process, and ends once, on record; needs a
store of the service that uses it."""
