"""What the log says, and what it never says."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from structlog import configure, get_config, get_logger

from gateway.call import call_tool
from gateway.gateway import ToolCall
from gateway.log_choices import LogForm, LogLevel
from gateway.logs import about, log_to_stderr
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway


class Written:
    """What was written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._so_far = ""

    @property
    def text(self) -> str:
        self._so_far += self._capsys.readouterr().err
        return self._so_far

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    configured = get_config()
    handlers, levels = logging.getLogger().handlers, {name: logging.getLogger(name).level for name in ("", "remit")}
    yield Written(capsys)
    logging.getLogger().handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    configure(**configured)


def failing(secret: str) -> None:
    raise ValueError(f"cannot read {secret}")


def test_away_from_a_terminal_a_line_is_one_json_object(written: Written) -> None:
    log_to_stderr()
    get_logger("remit.test").info("served", tools=3)
    [line] = written.lines
    assert (line["event"], line["tools"], line["level"], line["logger"]) == ("served", 3, "info", "remit.test")
    assert line["timestamp"].endswith("Z")


def test_every_line_within_a_call_names_it_and_none_after_it(written: Written) -> None:
    log_to_stderr()
    log = get_logger("remit.test")
    with about(request="7"), about(call="call_1", tenant="larkspur"):
        log.info("inside")
        logging.getLogger("mcp.server").warning("of a library")
    log.info("outside")
    inside, library, outside = written.lines
    for line in (inside, library):
        assert (line["request"], line["call"], line["tenant"]) == ("7", "call_1", "larkspur")
    assert "call" not in outside
    assert "request" not in outside


@pytest.mark.parametrize("form", [LogForm.JSON, LogForm.TEXT])
def test_a_terminal_obeys_nothing_that_outsiders_wrote(written: Written, form: LogForm) -> None:
    log_to_stderr(form=form)
    hostile = "\x1b[2J\u202e\r\nforged line"
    get_logger("remit.test").warning("refused", tool=hostile, paths=[hostile], by={hostile: hostile})
    logging.getLogger("mcp.server").warning("Invalid Host header: %s", hostile)
    shown = written.text + json.dumps(written.lines if form is LogForm.JSON else "", ensure_ascii=False)
    plain = shown.replace("\x1b[0m", "") if form is LogForm.TEXT else shown
    assert "\x1b[2J" not in plain
    assert "\u202e" not in plain
    assert not [line for line in written.text.splitlines() if line.startswith("forged")]


def test_of_an_unexpected_error_kind_and_place_are_told_and_not_its_words(written: Written) -> None:
    log_to_stderr()
    try:
        try:
            failing("the customer's card number")
        except ValueError as error:
            raise RuntimeError("while looking at 4111 1111") from error
    except RuntimeError:
        get_logger("remit.test").exception("call_failed")
    [line] = written.lines
    assert "RuntimeError" in line["exception"]
    assert "ValueError" in line["exception"]
    assert "in failing" in line["exception"]
    assert "card number" not in written.text
    assert "4111" not in written.text


def test_only_the_level_debug_shows_the_words_of_an_error(written: Written) -> None:
    log_to_stderr(LogLevel.DEBUG)
    try:
        failing("me")
    except ValueError:
        get_logger("remit.test").exception("call_failed")
    assert "cannot read me" in written.lines[0]["exception"]


def test_a_level_holds_back_what_is_less_severe(written: Written) -> None:
    log_to_stderr(LogLevel.ERROR)
    log = get_logger("remit.test")
    log.warning("not worth it")
    logging.getLogger("mcp.server").warning("nor this")
    log.error("worth it")
    assert [line["event"] for line in written.lines] == ["worth it"]


def test_a_request_is_told_without_what_follows_the_question_mark(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Servers in this process leave these as they like them.
    for name in ("uvicorn", "uvicorn.access"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    log_to_stderr()
    said = '%s - "%s %s HTTP/%s" %d'
    logging.getLogger("uvicorn.access").info(said, "10.0.0.1:5", "GET", "/console/?token=secret", "1.1", 200)
    [line] = written.lines
    assert (line["client"], line["method"], line["path"], line["status"]) == ("10.0.0.1:5", "GET", "/console/", 200)
    assert "secret" not in written.text


async def test_a_call_that_fails_within_the_gateway_is_logged_under_its_id_without_its_arguments(
    opened: OpenGateway, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as gateway:
        log_to_stderr()

        async def broken(_context: object, arguments: object) -> None:
            raise ValueError(f"cannot do {arguments}")

        monkeypatch.setattr(gateway.back_ends.crm, "crm_search_contacts", broken)
        call = ToolCall(Principal("larkspur", "ana@larkspur.example"), "crm_search_contacts", {"query": "very private"})
        await call_tool(gateway, call)
    line = next(line for line in written.lines if line["event"] == "call_failed")
    assert (line["call"], line["tool"], line["tenant"]) == (call.id, "crm_search_contacts", "larkspur")
    assert "very private" not in written.text
