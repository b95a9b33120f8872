"""What callers can do with Chat, one callable per RPC; knows no protobuf, no gRPC and no SQL."""
