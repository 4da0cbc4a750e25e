"""What a client is asked when a call waits for a person, and what its answer means: wait or not, never yes or no.

MCP 2025-06-18 knows forms, 2025-11-25 adds pages to open (URL mode), 2026-07-28 carries both in `input_required`
results instead of requests of their own.
"""

from enum import StrEnum

import mcp.types as wire
from mcp_types.version import is_version_at_least

from gateway.answer import ApprovalNeeded
from gateway.principal import Principal

_FORMS_SINCE = "2025-06-18"
_PAGES_SINCE = "2025-11-25"
_PAGE = "/console/approvals/"


class Mode(StrEnum):
    """How a client is asked whether to wait."""

    PAGE = "url"
    FORM = "form"


def mode_for(capabilities: wire.ClientCapabilities | None, version: str, page: str) -> Mode | None:
    """How this client can be asked; None if it cannot.

    Args:
        capabilities: What the client declared.
        version: The protocol version in use.
        page: Where the question is shown; empty if nowhere.
    """
    declared = capabilities.elicitation if capabilities else None
    if declared is None or not is_version_at_least(version, _FORMS_SINCE):
        return None
    if declared.url is not None and page and is_version_at_least(version, _PAGES_SINCE):
        return Mode.PAGE
    # A client that names no mode shows forms (MCP 2025-11-25, "Elicitation", capabilities).
    return Mode.FORM if declared.form is not None or declared.url is None else None


def page_of(console_url: str, approval_id: str) -> str:
    """Where the console shows a question; empty without a console."""
    return f"{console_url}{_PAGE}{approval_id}" if console_url else ""


def where_answered(page: str, approval_id: str) -> str:
    """Where an approver answers, in words."""
    return page or f"`remit approvals show {approval_id}`"


def elicitation(
    mode: Mode, approval: ApprovalNeeded, tool: str, caller: Principal, page: str, elicitation_id: str | None
) -> wire.ElicitRequest:
    """The question to the client's user.

    Args:
        mode: How it is asked.
        approval: What the call waits for.
        tool: The tool's name.
        caller: Who called.
        page: Where the question is shown; empty only for a form.
        elicitation_id: Names it in the notification that it is over, up to 2025-11-25.
    """
    waits = f"`{tool}`, called by {caller}, waits until {approval.expires_at:%Y-%m-%d %H:%M} UTC for an approver"
    if mode is Mode.PAGE:
        asked = wire.ElicitRequestURLParams(message=f"{waits}.", url=page, elicitation_id=elicitation_id)
        return wire.ElicitRequest(params=asked)
    message = f"{waits}, who answers at {where_answered(page, approval.id)}. Wait for the answer now?"
    return wire.ElicitRequest(
        params=wire.ElicitRequestFormParams(message=message, requested_schema={"type": "object", "properties": {}})
    )


def action_in(responses: wire.InputResponses | None, key: str) -> str:
    """What the client's user did, of a retry's `inputResponses`; empty if that is not among them."""
    response = (responses or {}).get(key)
    return response.action if isinstance(response, wire.ElicitResult) else ""
