"""Which system serves which tenant: `back_ends.toml`, one `[[back_end]]` for each tenant and area that has its own."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Union

import anyio
from pydantic import BaseModel, ConfigDict, Field, create_model

from connectors.crm import hubspot, salesforce, tryton
from connectors.email import gmail, graph, imap_smtp
from connectors.knowledge import archive, folder, git, postgres_text
from connectors.ticketing.jira import back_end as jira
from connectors.ticketing.request_tracker import back_end as request_tracker
from connectors.ticketing.zendesk import back_end as zendesk
from connectors.toml_files import BadFile, read_toml
from connectors.vendor.kinds import Declarable, Declared, Kind, Surroundings

KINDS: tuple[Kind, ...] = (
    hubspot.KIND,
    salesforce.KIND,
    tryton.KIND,
    jira.KIND,
    request_tracker.KIND,
    zendesk.KIND,
    imap_smtp.KIND,
    graph.KIND,
    gmail.KIND,
    folder.KIND,
    git.KIND,
    archive.KIND,
    postgres_text.KIND,
)
"""Every kind of back end that can be declared. Whoever adds one adds it here."""

_CLOSING_SECONDS = 2.0


def read_declared(path: Path, kinds: Sequence[Kind] = KINDS) -> tuple[Declared, ...]:
    """Read which back ends are declared; none if there is no file.

    Args:
        path: The file.
        kinds: What can be declared.

    Raises:
        BadFile: Names every problem.
    """
    if not path.exists():
        return ()
    by_name = {kind.name: kind for kind in kinds}
    tables: dict[str, type[BaseModel]] = {name: kind.declared for name, kind in by_name.items()}
    found: tuple[Declared, ...] = tuple(read_toml(path, _file_of(kinds), tables).back_end)  # type: ignore[attr-defined]
    served = Counter((each.tenant, by_name[each.kind].area) for each in found)
    if problems := [
        f"{path}: `{tenant}` has {many} back ends for `{area}`; leave one"
        for (tenant, area), many in served.items()
        if many > 1
    ]:
        raise BadFile("\n".join(problems))
    return found


@asynccontextmanager
async def open_declared(
    found: Sequence[Declared], surroundings: Surroundings, kinds: Sequence[Kind] = KINDS
) -> AsyncIterator[Mapping[tuple[str, str], Declarable]]:
    """Make the back ends that are declared, by tenant and area, and close them at the end of the block."""
    by_name = {kind.name: kind for kind in kinds}
    made = {(each.tenant, by_name[each.kind].area): by_name[each.kind].make(each, surroundings) for each in found}
    try:
        yield made
    finally:
        for back_end in made.values():
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSING_SECONDS):
                await back_end.close()


def _file_of(kinds: Sequence[Kind]) -> type[BaseModel]:
    one_of: Any = Union[tuple(kind.declared for kind in kinds)] if kinds else Declared  # noqa: UP007 - made of what there is
    each = Annotated[one_of, Field(discriminator="kind")] if len(kinds) > 1 else one_of
    strict = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    return create_model("BackEndsFile", __config__=strict, back_end=(list[each], []))  # type: ignore[valid-type]
