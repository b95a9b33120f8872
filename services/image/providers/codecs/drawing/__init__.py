"""Pattern art from a prompt and a seed, for a suite without a model: it depicts nothing of the prompt, and says so in the catalog.

The same arguments give the same pixels on every machine: all of it is whole numbers, hashes and tables, and where a fraction is
needed only what IEEE 754 rounds exactly (+, -, x, /, square root).
"""
