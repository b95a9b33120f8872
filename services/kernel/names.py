"""When two names that people wrote are the same one."""

from __future__ import annotations

import unicodedata


def folded(name: str) -> str:
    """What makes two e-mails or usernames the same one: no case, one Unicode form (NFKC), no space around it."""
    # Folding case can undo the normal form and the other way round; one or two rounds settle it.
    while True:
        further = unicodedata.normalize("NFKC", name).casefold().strip()
        if further == name:
            return name
        name = further
