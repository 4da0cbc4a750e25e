"""What a browser's form says: read within bounds, and nothing of it believed."""

from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

Form = Mapping[str, str]
"""A form's fields by name. One that was not sent is empty; of a name that was sent twice the last counts."""

_MOST_FIELDS = 500
_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request, most: int) -> Form:
    """Read a request's form.

    Args:
        request: The request.
        most: How many bytes at most.

    Raises:
        HTTPException: If it is no form (415), too large (413), or not text (400).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise HTTPException(415, "expected a form")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413, "the form is too large")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    # Browsers send the end of a line as CR LF (HTML Standard, "constructing the entry list").
    return defaultdict(str, ((name, value.replace("\r\n", "\n")) for name, value in pairs))
