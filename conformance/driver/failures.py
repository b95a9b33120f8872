"""What can go wrong with the driver itself, as against with a client."""


class CaseInvalid(Exception):
    """A case file says what no case can say; names the file and the case."""


class CaseUnknown(Exception):
    """No case has what was asked for in its name; says what that was."""


class DriverFailed(Exception):
    """The suite did not start, or something else that no client can help."""


class RunnerFailed(Exception):
    """A runner ended, was silent for too long, or did not keep to the protocol; says which."""


class RunnerMute(Exception):
    """A runner did not start, or never said hello; says why."""


class ToolsMissing(Exception):
    """What a language needs is not here; says what to install."""


class BuildFailed(Exception):
    """A runner could not be built; has the end of what the build said."""
