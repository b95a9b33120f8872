"""Kills serving processes while callers have images made, and holds index, objects, history, usage and what callers were told against each other.

Needs the suite itself; with `--s3` also MinIO, which tools/peers.py builds.
"""
