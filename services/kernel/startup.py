"""The failure of a process that cannot start, told to the operator rather than to a caller."""


class StartupError(Exception):
    """Start-up cannot go on.

    `message` says what is wrong and `advice` what the operator can do about it; both are printed as they
    are, without a traceback. Neither holds a secret.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(f"{message}\n{advice}" if advice else message)
        self.message = message
        self.advice = advice
