"""Doors to the outside: PostgreSQL and whatever other stores join it; needs the kernel and the drivers,
knows no service.
"""
