"""The voices of espeak-ng, which come with `antiphon[espeak]`: it speaks in worker processes, to which `adapter` is the server's door. Its
library is loaded in those alone.
"""
