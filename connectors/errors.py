"""What a back end may answer instead of a result. Each says whose fault it is and what to do next."""


class ConnectorError(Exception):
    """A back end's refusal or failure, in words that may be shown to the caller.

    Args:
        message: One lower-case line, the offending input in backticks, without secrets.
        field: The input field at fault, such as `cursor`, or "" when none is.
        is_untrusted: Whether the message quotes what an outsider may have written.
    """

    def __init__(self, message: str, field: str = "", *, is_untrusted: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.is_untrusted = is_untrusted


class NotFound(ConnectorError):
    """No such record for this tenant. A record of another tenant is answered the same way."""


class InvalidInput(ConnectorError):
    """The input is well-formed but the back end cannot act on it."""


class Conflict(ConnectorError):
    """The record changed since it was read, or is in a state that forbids the action."""


class Unavailable(ConnectorError):
    """The back end does not answer now. Nothing was done; the same call may be repeated later."""


class InDoubt(ConnectorError):
    """The back end was reached and did not say whether it acted. It is not done again before that is known."""
