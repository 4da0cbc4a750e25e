"""How the orchestrator is set up: `REMIT_…` variables over defaults, the same for every command and worker."""

import shlex
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SHIPPED_MODELS = Path(__file__).parent / "models.toml"


class Settings(BaseSettings):
    """Every setting of the orchestrator; `REMIT_URL` sets `url`, and so on. Times are in seconds.

    Args:
        home: The folder that holds what the orchestrator keeps, unless it is told otherwise.
        database: `sqlite:///FILE` or `postgresql://…`; by default `HOME/orchestrator.db`. It may hold a password.
        url: The gateway's MCP endpoint.
        token: The bearer token that runs call the gateway with.
        grant_token: A token that may issue grants; with it, each run is narrowed to what its task needs.
        page_token: What the worker's page is shown for; without one it is shown to the worker's own machine alone.
        command: A gateway to start and talk to over stdio instead, such as `remit serve --stdio`.
        models: The register of models.
        workflows: A folder of workflows of one's own, beside those that come with Remit.
        triggers: What begins runs; by default `HOME/triggers.toml`, if it is there.
        at_once: How many runs a worker works on at the same time.
        lease: After how long a run is taken over from a worker that is silent.
        patience: How long a worker that is told to stop goes on with what it has begun.
        keep_days: For how many days runs are kept after their end.
    """

    model_config = SettingsConfigDict(env_prefix="REMIT_", extra="ignore", frozen=True, hide_input_in_errors=True)

    home: Path = Path(".remit")
    database: SecretStr = SecretStr("")
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] = "http://127.0.0.1:8900/mcp"
    token: SecretStr = SecretStr("")
    grant_token: SecretStr = SecretStr("")
    page_token: SecretStr = SecretStr("")
    command: str = ""
    models: Path = SHIPPED_MODELS
    workflows: Path | None = None
    triggers: Path | None = None
    at_once: Annotated[int, Field(ge=1, le=1_000)] = 16
    lease: Annotated[float, Field(ge=1, le=3_600)] = 15.0
    patience: Annotated[float, Field(ge=0, le=600)] = 20.0
    keep_days: Annotated[float, Field(gt=0, le=36_500)] = 90.0

    @model_validator(mode="after")
    def _grants_come_by_url(self) -> "Settings":
        if self.command and self.grant_token.get_secret_value():
            raise ValueError("`REMIT_GRANT_TOKEN` needs a gateway by `REMIT_URL`; leave `REMIT_COMMAND` out")
        return self

    @property
    def database_url(self) -> str:
        """Where runs are kept."""
        return self.database.get_secret_value() or f"sqlite:///{self.home / 'orchestrator.db'}"

    @property
    def triggers_file(self) -> Path | None:
        """Where it stands what begins runs; None if nothing does."""
        usual = self.home / "triggers.toml"
        return self.triggers or (usual if usual.exists() else None)


def taken_apart(command: str) -> list[str]:
    """The words of a command as a shell takes them.

    Raises:
        ValueError: If a quotation in it does not end.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"the gateway's command cannot be taken apart: {error}".lower()) from None


class BadSettings(ValueError):
    """A setting has a wrong value."""


def load_settings(**given: Any) -> Settings:  # noqa: ANN401 - one value per setting
    """Gather the settings of this process.

    Args:
        given: Settings given on the command line; None means not given.

    Raises:
        BadSettings: Names the first wrong setting, and never its value.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "".join(f"setting `REMIT_{str(part).upper()}`: " for part in first["loc"][:1])
        raise BadSettings(f"{where}{first['msg'].removeprefix('Value error, ')}") from None
