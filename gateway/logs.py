"""What goes to standard error: the gateway's own log, never tool data.

A line says of which request and call it is. Nothing in it is obeyed by a terminal, and of an unexpected error it tells
the kind and the place: what such errors say of themselves may hold arguments, so only the level `debug` shows that.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.log_choices import LogForm, LogLevel
from gateway.visible_text import visible

_LONGEST_TEXT = 2_000
_ACCESS = "uvicorn.access"
_ACCESS_PARTS = 5
_OWN = "remit"


_NOTHING: Mapping[str, str] = {}
_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)


class about:  # noqa: N801 - it reads as what it does
    """Says in every line until the block ends what it is about: `with about(call=…, tool=…):`."""

    __slots__ = ("_facts", "_token")

    def __init__(self, **facts: str) -> None:
        self._facts = facts

    def __enter__(self) -> None:
        self._token = _ABOUT.set({**_ABOUT.get(), **self._facts})

    def __exit__(self, *_raised: object) -> None:
        _ABOUT.reset(self._token)


def log_to_stderr(level: LogLevel = LogLevel.INFO, form: LogForm = LogForm.AUTO) -> None:
    """Set up structlog and the standard library's logging to write to standard error.

    Args:
        level: For the gateway's own lines; other packages' are written from `warning` on.
        form: How they look.
    """
    is_text = form is LogForm.TEXT or (form is LogForm.AUTO and sys.stderr.isatty())
    shared: list[Processor] = [
        _what_about,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            pass_foreign_args=True,
            foreign_pre_chain=[*shared, _access],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _told_failure if level is LogLevel.DEBUG else _placed_failure,
                _made_visible,
                _for_people() if is_text else structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger(_OWN).setLevel(level.upper())
    logging.getLogger(_ACCESS).setLevel(logging.INFO)


def _for_people() -> Processor:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _what_about(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_ABOUT.get(), **event}


def _access(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A request as the HTTP server tells it, in fields; what follows `?` in an address is nobody's business."""
    given = event.pop("positional_args", ())
    if event.get("logger") != _ACCESS or len(given) != _ACCESS_PARTS:
        return event
    client, method, path, _version, status = given
    told = {"client": client, "method": method, "path": str(path).partition("?")[0], "status": status}
    return {**event, "event": "request", **told}


def _told_failure(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if failure := _failure(event):
        event["exception"] = "".join(traceback.format_exception(*failure))
    return event


def _placed_failure(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if failure := _failure(event):
        event["exception"] = "".join(_places(failure[1]))
    return event


def _failure(event: EventDict) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, BaseException):
        given = (type(given), given, given.__traceback__)
    return given if isinstance(given, tuple) and given[1] is not None else None


def _places(error: BaseException) -> list[str]:
    """The kinds of an error and of those that led to it, and where each was raised; without their words."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    told = [*_places(before), "which led to:\n"] if before else []
    told += [
        f"  {frame.filename}:{frame.lineno} in {frame.name}\n" for frame in traceback.extract_tb(error.__traceback__)
    ]
    told.append(f"{type(error).__module__}.{type(error).__qualname__}\n")
    if isinstance(error, BaseExceptionGroup):
        told += [line for each in error.exceptions for line in _places(each)]
    return told


def _made_visible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    shown = {name: _shown(value) for name, value in event.items() if name[:1] != "_" and name != "exception"}
    if told := event.get("exception"):
        shown["exception"] = "\n".join(map(visible, told.splitlines()))
    return shown


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever is logged
    if isinstance(value, str):
        return visible(value[:_LONGEST_TEXT])
    if isinstance(value, Mapping):
        return {_shown(str(name)): _shown(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    return value if isinstance(value, int | float | bool | None) else visible(str(value)[:_LONGEST_TEXT])
