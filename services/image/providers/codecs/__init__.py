"""Pixels: images are decoded, drawn and converted in worker processes, to which `adapter` is the server's door. Pillow and numpy are
imported in those alone.
"""
