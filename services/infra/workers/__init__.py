"""Work in processes of its own, for what holds the interpreter, may crash, or is to be stopped at any moment: a pool, and the loop that
runs inside of a worker. Needs msgspec; what the work is, the worker's program knows.
"""
