"""Protobuf to model and back, pure functions: events, requests, resources."""
