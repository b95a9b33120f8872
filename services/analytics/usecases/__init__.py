"""What Analytics can do, a file per group of RPCs."""
