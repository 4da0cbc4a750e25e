"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from connectors.embedded.tenancy import EVERY_TENANT
from connectors.embedded.tenancy import Tenant as TenantOrAll
from gateway.principal import Principal, parse_principal
from gateway.settings import Settings

Home = Annotated[
    Path | None, typer.Option(help="The folder that holds everything the gateway keeps. [default: .remit]")
]
Policies = Annotated[Path | None, typer.Option(help="The folder of policy files. [default: the shipped sample]")]
Tenant = Annotated[str | None, typer.Option(help="The tenant whose data it is. [default: larkspur]")]
OneTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's. [default: every tenant's]")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="PRINCIPAL", help="`person:NAME`, `agent:NAME` or `agent:NAME+person:NAME`."),
]


def whose(tenant: str | None) -> TenantOrAll:
    """Whose records the operator asks for: one tenant's, or without a word everybody's."""
    return EVERY_TENANT if tenant is None else tenant


def principal_named(settings: Settings, purpose: str) -> Principal:
    """The principal that the operator named by flag, environment or configuration.

    Raises:
        typer.BadParameter: If none is named or it is malformed.
    """
    if not settings.principal:
        raise typer.BadParameter(
            f'{purpose} needs a principal: give --as, set REMIT_PRINCIPAL, or write `principal = "person:NAME"` '
            f"into `{settings.home / 'remit.toml'}`"
        )
    try:
        return parse_principal(settings.principal, settings.tenant)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def person_named(settings: Settings, purpose: str) -> str:
    """The person that the operator named, who answers for it themselves.

    Raises:
        typer.BadParameter: If none is named, it is malformed, or an agent comes in.
    """
    who = principal_named(settings, purpose)
    if who.person is None or who.agent is not None:
        raise typer.BadParameter("a person answers for it: --as person:NAME")
    return who.person


def host_and_port(text: str) -> tuple[str, int]:
    """Read an address to listen on.

    Raises:
        typer.BadParameter: If it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"`{text}` is not HOST:PORT, such as 127.0.0.1:8900")
    return host.strip("[]"), int(port)
