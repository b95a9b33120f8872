"""What can go wrong with the driver itself, as against with a client."""


class CaseInvalid(Exception):
    """A case file says what no case can say; names the file and the case."""


class DriverFailed(Exception):
    """The suite did not start, or something else that no client can help."""


class RunnerFailed(Exception):
    """A runner ended, was silent for too long, or did not keep to the protocol; says which."""


class ToolsMissing(Exception):
    """What a language needs is not here; says what to install."""


class BuildFailed(Exception):
    """A runner could not be built; has the end of what the build said."""
