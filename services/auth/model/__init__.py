"""What Auth speaks of: frozen values and their invariants, a file per subject."""
