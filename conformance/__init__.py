"""Every client runs the same cases against the real suite; what it observes is compared with what the case says. README.md tells how.

It needs what the server needs (the extra `server`), and of each language the tools that `driver/languages.py` names.
"""
