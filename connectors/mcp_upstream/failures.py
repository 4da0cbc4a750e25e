"""What may become of a call to an upstream server instead of a result."""

NOT_LET_IN = 7_401
"""The error code of an answer that the gateway gives in a server's place; outside what the protocol reserves."""


class Lost(Exception):
    """There is no usable answer: nobody knows whether the call was carried out."""


class Refused(Exception):
    """The server answered that it will not; its words are an outsider's."""


class NotLetIn(Exception):
    """The server refused what it was shown, so nothing was done; says so in words of the gateway."""


class BadServer(Exception):
    """The server cannot be used; says why, in words of the gateway."""
