"""The services' own books, by RPC."""
