"""How fast a change of Auth's signing keys reaches every process, and why no good token is refused meanwhile.

A key K is written to the table as `next` at the moment c, and signs once it is made `active`, at c + LEARNT_SECONDS at the earliest,
by the database's clock alone. Every other duration is measured inside one process, on its monotonic clock: no two clocks are compared.

1. What Auth publishes was read from the table at most RING_SECONDS before it was asked; else it publishes nothing and says so.
2. A fetch of the set that begins at a ≥ c + RING_SECONDS therefore brings K, or fails.
3. Somebody shows a token of K at t ≥ c + LEARNT_SECONDS to a process that does not know K. Either a new fetch begins, after
   c + RING_SECONDS; or one is under way, which began at most FETCH_SECONDS before t; or the last one began less than
   RETRY_SECONDS before t. Since LEARNT_SECONDS ≥ RING_SECONDS + max(FETCH_SECONDS, RETRY_SECONDS), each of them began after
   c + RING_SECONDS and brought K, or failed; and after one that failed the caller is told to try again, never that the token is bad.
4. Fetches don't overlap, so no older set ever replaces a newer one.

The rest of LEARNT_SECONDS is for a commit that takes a moment: c is stamped just before it.

The other way round, a key that is dropped at d signs nothing that is believed after d + LEARNT_SECONDS: a token is believed, checked
before or not, while its key is in a set from a fetch that began at most max(STALE_SECONDS, FETCH_SECONDS) ago, of a table read
RING_SECONDS before that. A process that can't fetch goes on with the set that it has until that is as old as the operator lets login
sessions pass without Auth (`identity.offline_grace`, at least as long as the two above), and then believes no token until it can. So
does Auth's own process while its table can't be read.
"""

from __future__ import annotations

RING_SECONDS = 1.0
"""How old Auth's view of its table of keys may be when it publishes them."""

REFRESH_SECONDS = 2.0
"""After this a process fetches Auth's keys again, beside the calls."""

STALE_SECONDS = 3.0
"""After this a call waits for that fetch."""

FETCH_SECONDS = 3.0
"""How long a fetch may take."""

RETRY_SECONDS = 2.0
"""Unknown key ids cost a fetch at most this often."""

LEARNT_SECONDS = 6.0
"""After this every process knows a new key, and none believes a dropped one."""
