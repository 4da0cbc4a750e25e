"""How one gateway process is set up: flags over `REMIT_…` variables over `HOME/remit.toml` over defaults."""

import os
import tomllib
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from connectors.embedded.engine import database_url
from gateway.database import Database
from gateway.declared import MAX_HOLD_SECONDS
from gateway.log_choices import LogForm, LogLevel

CONFIG_FILE = "remit.toml"
_SHORTEST_SECRET = 24
SHIPPED_POLICIES = Path(__file__).parent.parent / "policies"


def _known(url: SecretStr) -> SecretStr:
    given = url.get_secret_value()
    if given and not database_url(given).database:
        raise ValueError("names no database: add `/NAME`")
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_known)]
"""`postgresql://…` or `sqlite:///FILE`, or nothing. It may hold a password, so it is never shown."""


class Settings(BaseSettings):
    """Every setting of the gateway; `REMIT_HOME` sets `home`, and so on.

    Sizes are in bytes, times in seconds.
    """

    model_config = SettingsConfigDict(env_prefix="REMIT_", extra="forbid", frozen=True, hide_input_in_errors=True)

    home: Path = Path(".remit")
    """The folder that holds what the gateway keeps: journal, tokens, embedded data, outbox."""

    database_url: DatabaseUrl = SecretStr("")
    """The database for journal, tokens and settled answers, on PostgreSQL for embedded data too; by default files."""

    company_url: DatabaseUrl = SecretStr("")
    """The embedded back ends' database, if it is another one."""

    policies: Path = SHIPPED_POLICIES
    """The folder of policy files."""

    upstreams: Path | None = None
    """The folder of upstream MCP servers' files; by default `HOME/upstreams`."""

    back_ends: Path | None = None
    """The file that says which systems serve which tenants; by default `HOME/back_ends.toml`."""

    tenant: str = "larkspur"
    """The tenant of principals that do not name one: stdio, `--no-auth`, `--as`."""

    principal: str = ""
    """Who calls over stdio or without authentication: `person:NAME`, `agent:NAME` or both joined by `+`."""

    call_timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a back end may take for one call."""

    call_tries: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a back end that is unavailable is tried for one call, within `call_timeout`."""

    breaker_failures: Annotated[int, Field(ge=1, le=1_000)] = 10
    """After how many failures in a row a back end is left alone."""

    breaker_pause: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    """For how long."""

    recovery_interval: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    """How often calls are looked for that were begun and have no outcome."""

    journal_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    """How long the journal may take to make one entry durable before the call is refused."""

    checkpoint_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """After how many new journal entries a signed checkpoint is made at once."""

    checkpoint_seconds: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """After how long new journal entries get a signed checkpoint at the latest."""

    max_body: Annotated[int, Field(ge=1_024, le=64 * 2**20)] = 2**20
    """The largest HTTP request that is read."""

    max_result_text: Annotated[int, Field(ge=1_000, le=10_000_000)] = 262_144
    """How many characters of text a result may hold; policy may say less."""

    max_field_text: Annotated[int, Field(ge=1_000, le=10_000_000)] = 131_072
    """How many characters one text of a result may have."""

    max_calls: Annotated[int, Field(ge=1, le=10_000)] = 64
    """How many calls run at the same time; further ones wait."""

    max_calls_of_area: Annotated[int, Field(ge=1, le=10_000)] = 32
    """How many of them may be one tenant's calls to one area while nothing else is called; the more others hold, the
    fewer, so that slow back ends leave something to the others."""

    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 256
    """How many calls may wait; further ones are told to come back later."""

    max_wait: Annotated[float, Field(gt=0, le=600)] = 20.0
    """How long a call may wait; it is told to come back later at once if it would take longer."""

    allowed_hosts: list[str] = []
    """Host headers accepted besides the address served on, such as `gateway.example:443`."""

    allowed_origins: list[str] = []
    """Origin headers accepted from browsers besides the address served on."""

    console: bool = True
    """Whether people can sign in at `/console` of the HTTP address."""

    console_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?)?$")] = ""
    """The base of the console's public address; empty means the address served on, if it names this machine."""

    console_session: Annotated[float, Field(gt=0, le=31 * 86_400)] = 8 * 3_600.0
    """How long a sign-in to the console lasts."""

    approval_ttl: Annotated[float, Field(gt=0, le=31 * 86_400)] = 3 * 86_400.0
    """How long a person has to answer; as long again the end is remembered for whoever repeats the call."""

    notify_mailbox: str = ""
    """The mailbox from which approvers are told by mail that something waits; empty tells nobody by mail."""

    notify_webhook: Annotated[
        str, Field(pattern=r"^(https://\S+|http://(127\.0\.0\.1|localhost|\[::1\])[:/]\S*)?$")
    ] = ""
    """Where it is posted that something waits for approvers: `https`, or a loopback address; empty posts nothing."""

    notify_secret: SecretStr = SecretStr("")
    """The secret that signs what is posted, at least 24 characters; needed with `notify_webhook`."""

    notify_gather: Annotated[float, Field(ge=0, le=3_600)] = 15.0
    """Seconds for which what else a task asks is waited for, so that approvers hear of it in one notice."""

    approval_hold: Annotated[float, Field(ge=0, le=MAX_HOLD_SECONDS)] = 45.0
    """How long a request is held for a person's answer; 0 answers that it waits at once."""

    max_held: Annotated[int, Field(ge=0, le=10_000)] = 100
    """How many requests are held at the same time; further ones are told at once that they wait."""

    answer_wait: Annotated[float, Field(gt=0, le=3_600)] = 300.0
    """How long a client has to answer what an upstream server asks it in the course of a call."""

    state_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    """The secret that seals what clients bring back; empty means one that follows from the journal's key."""

    session_ttl: Annotated[float, Field(ge=60, le=31 * 86_400)] = 7 * 86_400.0
    """For how long a client up to MCP 2025-11-25 may use a session; later ones have none."""

    run_window: Annotated[float, Field(gt=0, le=31 * 86_400)] = 86_400.0
    """How far back the earlier calls reach that rules count and sum."""

    grant_ttl: Annotated[float, Field(ge=1, le=86_400)] = 3_600.0
    """How long a grant lasts if whoever issues it does not say."""

    grant_longest: Annotated[float, Field(ge=1, le=86_400)] = 86_400.0
    """How long a grant lasts at most."""

    metrics_token: Annotated[SecretStr | None, Field(min_length=_SHORTEST_SECRET)] = None
    """The bearer token of whoever may read `/metrics`; without one, nobody may."""

    telemetry: bool = False
    """Whether requests are told of to a collector of OpenTelemetry, which the `OTEL_…` variables name."""

    shutdown_delay: Annotated[float, Field(ge=0, le=300)] = 0.0
    """For how long a process that is told to end still takes calls, while `/readyz` says that it is not ready."""

    shutdown_patience: Annotated[float, Field(ge=0, le=600)] = 20.0
    """How long the calls that run then may take to end."""

    log_level: LogLevel = LogLevel.INFO
    """From which severity on the gateway's own lines are logged: `debug`, `info`, `warning` or `error`."""

    log_form: LogForm = LogForm.AUTO
    """How a line of the log looks: `json`, `text`, or `auto`, which is text on a terminal and JSON elsewhere."""

    log_requests: bool = False
    """Whether every HTTP request is logged."""

    policy_poll: Annotated[float, Field(gt=0, le=60)] = 0.4
    """How often the policy folder is looked at; a change counts once two looks in a row see the same."""

    stop_poll: Annotated[float, Field(gt=0, le=0.5)] = 0.4
    """How often it is looked at what is stopped; a stop counts in every process within a second."""

    stop_unread: Annotated[float, Field(ge=1, le=60)] = 5.0
    """For how long calls go on when that cannot be read."""

    recipients_kept: Annotated[float, Field(ge=86_400, le=36_500 * 86_400)] = 400 * 86_400.0
    """For how long it is remembered, by keyed hashes, to whom something was sent."""

    credentials_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    """The secret that seals credentials for back ends; several, separated by blanks: the first seals, all open."""

    credentials_key_file: Path | None = None
    """The file that holds it; by default `HOME/credentials.key`, made when it is wanted."""

    credentials_keyring: str = ""
    """The service under which the system's keyring holds it, for the user `credentials`."""

    @model_validator(mode="after")
    def _one_place_for_the_key(self) -> "Settings":
        if sum(map(bool, (self.credentials_key, self.credentials_key_file, self.credentials_keyring))) > 1:
            raise ValueError("give one of `credentials_key`, `credentials_key_file` and `credentials_keyring`")
        return self

    @model_validator(mode="after")
    def _webhook_is_signed(self) -> "Settings":
        if self.notify_webhook and len(self.notify_secret.get_secret_value()) < _SHORTEST_SECRET:
            raise ValueError(f"`notify_webhook` needs a `notify_secret` of {_SHORTEST_SECRET} characters or more")
        return self

    def served_at(self, host: str, port: int) -> "Settings":
        """These settings of a gateway that listens at an address: without another, its console is reached there."""
        if self.console_url or not self.console or is_unspecified(host):
            return self
        name = f"[{host}]" if ":" in host else host
        return self.model_copy(update={"console_url": f"http://{name}:{port}"})

    def open_database(self) -> Database:
        """The gateway's own database: journal, tokens and settled answers. Whoever opens it closes it."""
        return Database(self.gateway_database)

    @property
    def gateway_database(self) -> URL:
        """Where that is."""
        given = self.database_url.get_secret_value()
        return database_url(given) if given else URL.create("sqlite", database=str(self.home / "remit.db"))

    @property
    def still_needed(self) -> timedelta:
        """How long what a call was about is needed after it, whatever policy says of keeping it."""
        return timedelta(seconds=max(self.run_window, 2 * self.approval_ttl))

    @property
    def seen_needed(self) -> timedelta:
        """How long a call may still belong to a run that has seen something."""
        return 1.25 * timedelta(seconds=max(self.run_window, self.grant_longest))

    @property
    def journal_key(self) -> Path:
        """The private key that signs the journal's checkpoints."""
        return self.home / "journal.key"

    @property
    def checkpoints(self) -> Path:
        """Where the journal's signed checkpoints are published."""
        return self.home / "checkpoints"

    @property
    def company_database(self) -> URL:
        """The embedded back ends' database."""
        given = self.company_url.get_secret_value()
        shared = self.database_url.get_secret_value()
        if not given and shared and database_url(shared).get_backend_name() == "postgresql":
            given = shared
        return database_url(given) if given else URL.create("sqlite", database=str(self.home / "company.db"))

    @property
    def upstreams_folder(self) -> Path:
        """Where the files of upstream MCP servers are."""
        return self.upstreams or self.home / "upstreams"

    @property
    def back_ends_file(self) -> Path:
        """Where it stands which systems serve which tenants."""
        return self.back_ends or self.home / "back_ends.toml"

    @property
    def outbox(self) -> Path:
        """Where the embedded mailbox shows what it sent."""
        return self.home / "outbox"


class BadSettings(Exception):
    """A setting is unknown or has a wrong value."""


def load_settings(**flags: Any) -> Settings:  # noqa: ANN401 - one value per setting
    """Gather the settings of this process.

    Args:
        flags: Settings given on the command line; None means not given.

    Raises:
        BadSettings: Names each wrong setting and where it stands.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    home = Path(given.get("home") or os.environ.get("REMIT_HOME") or Settings.model_fields["home"].default)
    stored = _read_config(home / CONFIG_FILE)
    for name in [name for name in stored if f"REMIT_{name.upper()}" in os.environ]:
        del stored[name]
    try:
        return Settings(**{**stored, **given})
    except ValidationError as error:
        told = [f"setting `{'.'.join(map(str, problem['loc']))}`: {problem['msg']}" for problem in error.errors()]
        told = [line.removeprefix("setting ``: Value error, ") for line in told]
        raise BadSettings("\n".join(told)) from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path}: {error}") from None


def is_unspecified(host: str) -> bool:
    """Say whether an address to listen on stands for every address of this machine, and so leads nowhere."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
