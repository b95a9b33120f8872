"""Kills serving processes while callers have texts spoken, and holds table, objects, usage and what callers heard against each other.

Needs the suite itself with espeak-ng; with `--s3` also MinIO, which tools/peers.py builds.
"""
