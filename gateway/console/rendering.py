"""Templates: everything that is put into one is escaped, and outsiders' text is marked where it deceives."""

from datetime import datetime, timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gateway.visible_text import Piece, pieces

_PIECE = Markup('<mark class="deceit">{}<span class="deceit-note"> {}</span></mark>')
_CODE = Markup("<code>{}</code>")
_TEXT = Markup('<bdi class="{}">{}</bdi>')


def environment() -> Environment:
    """The console's templates."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "marked": marked,
        "moment": moment,
        "short_time": short_time,
        "worded": worded,
        "span": span,
        "sentence": sentence,
    }
    return made


def marked(text: object) -> Markup:
    """Outsiders' text as HTML, in which everything that deceives is marked and named."""
    shown = Markup("").join(_piece(piece) for piece in pieces(str(text)))
    return _TEXT.format("text", shown)


def worded(text: str) -> Markup:
    """A sentence of the gateway's, as `marked`; what stands between backticks is set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return marked(text)
    return Markup("").join(_CODE.format(marked(part)) if odd % 2 else marked(part) for odd, part in enumerate(parts))


def _piece(piece: Piece) -> str:
    return _PIECE.format(piece.shown, piece.note) if piece.note else piece.text


def moment(at: datetime) -> str:
    """A time for people: date and time in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def sentence(text: str) -> str:
    """A message as people begin one."""
    return text[:1].upper() + text[1:]


def short_time(at: datetime) -> str:
    """A time within a list."""
    return f"{at:%m-%d %H:%M:%S}"


def span(length: timedelta) -> str:
    """A stretch of time in its largest fitting unit."""
    seconds = length.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
