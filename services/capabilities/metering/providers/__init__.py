"""Ways to Analytics; needs gRPC."""
