"""Why a token is not taken, told apart by what its caller can do about it."""


class BadToken(Exception):
    """The token is not good here: another one has to be got (401, RFC 6750, section 3.1). The message says why."""


class BadProof(Exception):
    """The proof that the caller has the token's key is missing or not good (401, RFC 9449, section 7.1)."""


class NobodyHere(Exception):
    """The token is good and means nobody whom the gateway knows (403): only the operator can change that.

    Args:
        message: Why, for the caller.
        detail: What exactly, for the log.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class IssuerUnavailable(Exception):
    """The issuer cannot be asked at the moment (503): nothing is known of the token."""
