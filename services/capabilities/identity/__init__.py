"""Who calls: one verifier for every kind of credential, the tokens that services show one another, and what was taken back; needs
Auth's keys, its API keys and its feed of revocations, from the same process or by RPC."""
