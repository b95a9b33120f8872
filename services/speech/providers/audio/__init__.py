"""Audio: pieces of files are encoded, files of providers decoded, parts joined. All of it runs in worker processes, on 16-bit little-endian
mono samples; soundfile, soxr, lameenc and numpy are imported in those alone, and not before a format needs them.
"""
