"""The object stores: a folder, and a bucket of S3."""
