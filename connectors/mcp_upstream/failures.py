"""What may become of a call to an upstream server instead of a result."""


class Lost(Exception):
    """There is no usable answer: nobody knows whether the call was carried out."""


class Refused(Exception):
    """The server answered that it will not; its words are an outsider's."""


class BadServer(Exception):
    """The server cannot be used; says why, in words of the gateway."""
