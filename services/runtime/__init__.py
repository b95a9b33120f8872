"""The gRPC process: server, interceptors, status, policy, health, logs, metrics; knows no service."""
