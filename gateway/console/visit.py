"""What a page gets: the console, the request, and the person who is signed in."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.console.attempts import Attempts
from gateway.console.forms import Form
from gateway.console.seeing import may_stop, may_view
from gateway.console.sessions import Session, Sessions
from gateway.database import Database
from gateway.gateway import Gateway
from gateway.oauth.signing_in import SigningIn
from gateway.policy.files.approvers import View
from gateway.policy.judge import Policy
from gateway.principal import Principal
from gateway.sessions.sealed_id import Seal
from gateway.tokens import Tokens

ROOT = "/console"
COOKIE = "remit_console"
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True)
class Console:
    """Everything that pages need, wired once by `app.py` of this folder.

    Args:
        gateway: What is shown.
        database: Where the journal is.
        tokens: What people may sign in with.
        sessions: Who is signed in.
        signing_in: The issuers that people may sign in with.
        seal: Seals what a browser keeps meanwhile.
        url: Where people reach it, without path; empty if nobody knows.
        attempts: Who has tried to sign in, and failed.
        pages: The templates.
        secure: Whether cookies go over TLS only.
        max_form: Bytes of the largest form.
    """

    gateway: Gateway
    database: Database
    tokens: Tokens
    sessions: Sessions
    signing_in: SigningIn
    seal: Seal
    url: str
    attempts: Attempts
    pages: Environment
    secure: bool
    max_form: int


@dataclass(frozen=True)
class Visit:
    """One request of a person who is signed in; of a POST its form, whose token has been checked."""

    console: Console
    request: Request
    session: Session
    form: Form = field(default_factory=dict)

    @property
    def person(self) -> Principal:
        """Who visits."""
        return self.session.principal

    @property
    def named(self) -> str:
        """The id that the path names.

        Raises:
            HTTPException: With 404 if nothing can have such an id.
        """
        name: str = self.request.path_params["id"]
        if not is_id(name):
            raise HTTPException(404)
        return name

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.console.gateway.policy.current

    @property
    def now(self) -> datetime:
        """The time, with zone."""
        return self.console.gateway.now()

    def page(self, name: str, status: int = 200, **shown: Any) -> HTMLResponse:  # noqa: ANN401 - a template's values
        """Render a template."""
        frame = {
            "session": self.session,
            "here": self.request.url.path,
            "status": status,
            "now": self.now,
            "sees_journal": may_view(self.policy, self.person, View.JOURNAL),
            "stops": may_stop(self.policy, self.person),
        }
        text = self.console.pages.get_template(name).render(**frame, **shown)
        return HTMLResponse(text, status)


Page = Callable[[Visit], Awaitable[Response]]


def is_id(text: str) -> bool:
    """Whether something can have this id."""
    return _ID.fullmatch(text) is not None


def back_to(path: str) -> Response:
    """Send the browser to a page of the console with a fresh request, so that loading it again repeats nothing."""
    return RedirectResponse(f"{ROOT}{path}", 303)
