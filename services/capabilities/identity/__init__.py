"""Who calls: one verifier for every kind of credential, and the tokens that services show one another; needs the keys of Auth,
from the same process or by RPC."""
