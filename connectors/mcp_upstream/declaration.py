"""What an operator says of an upstream server, in one TOML file: how to reach it, and what its tools do."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.asking import ASKING, Passed
from connectors.contract import Author, Confidentiality, Effect, Idempotency, Sink
from connectors.toml_files import BadFile, read_toml

SERVER_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_HOST = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$"
_Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")


class BadUpstream(BadFile):
    """An upstream's file cannot be used; names every problem, one a line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Argument(_Strict):
    """What one argument is, by its path.

    `sink` says what it lets out; unsaid, a text of anything but a read is `content`. `format` is for addresses of email
    that the server's schema does not call so.
    """

    sink: Sink | Literal["none"] | None = None
    namespace: str = ""
    personal: bool = False
    format: Literal["email"] | None = None


class Result(_Strict):
    """What one part of a result is, by its path; unsaid, an outsider wrote it and it is a customer's own."""

    author: Author = Author.OUTSIDER
    confidentiality: Confidentiality = Confidentiality.CUSTOMER
    kept: bool = False
    owner: bool = False
    """Whether it says whose record it is: a customer's address, domain or id."""
    namespace: str = ""
    personal: bool = False
    written_by: dict[str, Author] = {}
    """The author of the texts beside it for each of its values; `true` and `false` are what they look like."""


class DeclaredTool(_Strict):
    """What one tool does."""

    effect: Effect
    idempotency: Literal[Idempotency.VERSION, Idempotency.AT_MOST_ONCE] | None = None
    json_text: bool = False
    """Whether its text is JSON, to be read like a structured result."""
    text: Result = Result()
    scopes: list[_Scope] = []
    """Which scopes of the server's credential it needs."""
    passes: list[Passed] = []
    """What the server may send to the client that made a call of this tool, or ask of it, in the course of the call."""
    arguments: dict[str, Argument] = {}
    output: dict[str, Result] = {}

    @model_validator(mode="after")
    def _reads_need_nothing(self) -> Self:
        if self.effect is Effect.READ and self.idempotency:
            raise ValueError("`idempotency` is for effects: a read needs none")
        return self

    @property
    def kept_from_doubling(self) -> Idempotency:
        """How its effect is kept from happening twice."""
        if self.effect is Effect.READ:
            return Idempotency.NONE_NEEDED
        return self.idempotency or Idempotency.AT_MOST_ONCE


class Secret(_Strict):
    """A header's value, from the gateway's environment or from a file; `before` stands in front, such as `Bearer `."""

    env: str | None = None
    file: str | None = None
    before: str = ""

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("give one of `env` and `file`")
        return self


class Stdio(_Strict):
    """A server that runs as a child process, with nothing of the gateway's environment but the variables in `env`."""

    command: Annotated[str, Field(min_length=1)]
    args: list[str] = []
    env: list[str] = ["PATH"]
    folder: str | None = None


class Credential(_Strict):
    """That a header shows the credential which `remit credentials set` keeps under the server's name.

    `looks_as` is the tenant whose credential reads the server's definitions; unsaid, the first of the server's tenants.
    With `personal`, a person's own goes before the tenant's. `scopes` are needed besides those that the tools name.
    """

    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "Authorization"
    before: Annotated[str, Field(pattern=r"^[ -~]*$")] = "Bearer "
    personal: bool = False
    looks_as: str = ""
    scopes: list[_Scope] = []


class Http(_Strict):
    """A server at a URL: `https`, or a loopback address."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s#]*)?$")]
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], Secret] = {}
    credential: Credential | None = None

    @model_validator(mode="after")
    def _shown_once(self) -> Self:
        if self.credential and self.credential.header.lower() in map(str.lower, self.headers):
            raise ValueError(f"`headers` has `{self.credential.header}` as well, which shows the credential")
        return self

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> Self:
        if not self.url.startswith("https://") and not _LOOPBACK.match(self.url):
            raise ValueError("`url` must be `https`, or a loopback address")
        return self


class _File(_Strict):
    prefix: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,31})?$")]
    stdio: Stdio | None = None
    http: Http | None = None
    tenants: list[str] = []
    timeout: Annotated[float, Field(gt=0, le=600)] = 20.0
    recheck: Annotated[float, Field(ge=0.1, le=300)] = 5.0
    max_result: Annotated[int, Field(ge=1_000, le=10_000_000)] = 200_000
    max_calls: Annotated[int, Field(ge=1, le=1_000)] = 16
    pass_media: bool = False
    pass_trace: bool = False
    clearance: Confidentiality | None = None
    pages: list[Annotated[str, Field(pattern=_HOST)]] = []
    tools: dict[str, DeclaredTool] = {}

    @model_validator(mode="after")
    def _reached_one_way(self) -> Self:
        if (self.stdio is None) == (self.http is None):
            raise ValueError("give one of `[stdio]` and `[http]`")
        return self

    @model_validator(mode="after")
    def _looks_as_somebody(self) -> Self:
        credential = self.http.credential if self.http else None
        if credential and not credential.looks_as and not self.tenants:
            raise ValueError(
                "`http.credential.looks_as` is missing: name the tenant whose credential reads definitions"
            )
        return self

    @model_validator(mode="after")
    def _answers_have_bounds(self) -> Self:
        passed = {kind for tool in self.tools.values() for kind in tool.passes}
        if passed & ASKING and self.clearance is None:
            raise ValueError("`clearance` is missing: say how confidential what is answered to the server may be")
        if Passed.PAGE in passed and not self.pages:
            raise ValueError("`pages` is missing: name the hosts whose pages the server may have opened")
        return self

    @model_validator(mode="after")
    def _asks_within_clearance(self) -> Self:
        """A question is as confidential as the server's texts: above its clearance, nothing could ever be answered."""
        for name, tool in self.tools.items():
            level = tool.text.confidentiality
            if ASKING & set(tool.passes) and self.clearance and level.rank > self.clearance.rank:
                raise ValueError(
                    f"`tools.{name}.text` is `{level}`, and so is what the server asks, above its `clearance`: "
                    "say in `text` how confidential its words are"
                )
        return self


class Server(_File):
    """One upstream server.

    Args:
        name: The name of its file; stands for the area of its tools.
        prefix: What its tools' names begin with here; may be empty.
        tenants: Whose calls go there; empty for all.
        timeout: Seconds for one call, at most `call_timeout`.
        recheck: Seconds between looks at its definitions.
        max_result: Characters of a result that are passed on.
        max_calls: Calls at the same time; as many again may wait.
        pass_media: Whether images and sound are passed on; otherwise they are only described.
        pass_trace: Whether its calls name the trace that they belong to (W3C `traceparent` in `_meta`).
        clearance: How confidential what a run has seen may be for its client's answers to go there.
        pages: The hosts whose pages a client's user may be asked to open.
    """

    name: str

    @property
    def credential(self) -> Credential | None:
        """The credential that it is shown, if it is one of `remit credentials`."""
        return self.http.credential if self.http else None

    @property
    def looks_as(self) -> str:
        """The tenant as which its definitions are read."""
        return (self.credential.looks_as if self.credential else "") or next(iter(self.tenants), "")


def read_servers(folder: Path, reserved: Iterable[str] = ()) -> tuple[Server, ...]:
    """Read every `NAME.toml` of a folder, which need not exist.

    Args:
        folder: The folder.
        reserved: Names that no server may have.

    Raises:
        BadUpstream: Names every problem.
    """
    taken, servers, problems = frozenset(reserved), list[Server](), list[str]()
    for path in sorted(folder.glob("*.toml")):
        try:
            servers.append(_read(path, taken))
        except BadUpstream as error:
            problems.append(str(error))
    if problems:
        raise BadUpstream("\n".join(problems))
    return tuple(servers)


def _read(path: Path, taken: frozenset[str]) -> Server:
    if not SERVER_NAME.fullmatch(path.stem) or path.stem in taken:
        raise BadUpstream(f"{path}: a server's name is made of a-z, 0-9 and _, and none of {', '.join(sorted(taken))}")
    try:
        return Server(name=path.stem, **dict(read_toml(path, _File, _TABLES)))
    except BadFile as error:
        raise BadUpstream(str(error)) from None


_TABLES: dict[str, type[BaseModel]] = {
    "stdio": Stdio,
    "http": Http,
    "headers": Secret,
    "credential": Credential,
    "tools": DeclaredTool,
    "text": Result,
    "arguments": Argument,
    "output": Result,
}
