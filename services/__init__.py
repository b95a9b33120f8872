"""The suite's server code: a kernel of words, doors to the outside, a gRPC runtime, capabilities, and the services on top."""
