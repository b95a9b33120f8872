"""Image makes images from texts and keeps them with their history; needs a database with its schema, an object store, and a catalog of
models."""
