"""What several services use, each small and with ports and adapters of its own; knows no service."""
