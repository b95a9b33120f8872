"""What callers may do, one callable per RPC."""
