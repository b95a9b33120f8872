"""Benchmark programs, one per goal, and the figures they printed; needs the development environment, the loopback interface and,
for figures that mean something, two cores that nobody else uses.
"""
