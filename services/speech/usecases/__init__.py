"""What Speech can do, a class each."""
