"""MongoDB: one client for a process, its health, and its failures as ours; needs pymongo and a server of wire version 9 or later."""
