"""Kills, or pauses, a serving process while clients stream, and holds what they were given against the record.

Needs the suite itself; with `--store mongo` also a MongoDB at MONGODB_URL, else the one that tools/peers.py builds.
"""
