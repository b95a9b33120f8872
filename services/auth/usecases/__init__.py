"""What Auth does: one callable per RPC, over the ports alone."""
