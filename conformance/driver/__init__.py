"""Starts suites, plays the network, tells runners what to do, and compares what they saw. It needs a built runner per language."""
