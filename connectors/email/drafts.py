"""Drafts in the embedded mailbox: written, changed, and gone once they are sent."""

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from connectors.contract import CallContext
from connectors.email.tables import drafts
from connectors.email.tools import CreateDraft, Draft, UpdateDraft
from connectors.embedded.database import stable_id
from connectors.errors import Conflict, InvalidInput, NotFound


def create(connection: Connection, call: CallContext, args: CreateDraft) -> Draft:
    """Keep a new draft; mailbox and answered message are checked already."""
    draft = Draft(
        id=stable_id("dra", call.tenant, call.key),
        **args.model_dump(),
        created_at=call.now,
        updated_at=call.now,
        version=1,
    )
    connection.execute(drafts.insert().values(tenant=call.tenant, **draft.model_dump()))
    return draft


def update(connection: Connection, call: CallContext, args: UpdateDraft) -> Draft:
    """Change a draft.

    Raises:
        NotFound: If the mailbox has no such draft.
        Conflict: If it was sent, or changed since it was read.
        InvalidInput: If nothing would change.
    """
    draft = get_unsent(connection, call.tenant, args.mailbox, args.draft_id, args.version)
    given = args.model_dump(include={"to", "cc", "subject", "body"}, exclude_none=True)
    changed = {name: value for name, value in given.items() if value != getattr(draft, name)}
    if not changed:
        raise InvalidInput(f"nothing to change in draft `{draft.id}`; give a new `to`, `cc`, `subject` or `body`")
    changed |= {"updated_at": call.now, "version": draft.version + 1}
    connection.execute(drafts.update().where(*_this(call.tenant, draft.id)).values(**changed))
    return draft.model_copy(update=changed)


def get_unsent(connection: Connection, tenant: str, mailbox: str, draft_id: str, version: int) -> Draft:
    """The draft as it was read.

    Raises:
        NotFound: If the mailbox has no such draft.
        Conflict: If it was sent, or changed since it was read.
    """
    query = select(drafts).where(*_this(tenant, draft_id), drafts.c.mailbox == mailbox)
    row: RowMapping | None = connection.execute(query.with_for_update()).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no draft `{draft_id}` in `{mailbox}`; create one first", field="draft_id")
    if row["sent_as"]:
        raise Conflict(f"draft `{draft_id}` was sent as message `{row['sent_as']}`; create a new one", field="draft_id")
    if row["version"] != version:
        raise Conflict(
            f"draft `{draft_id}` is now at version {row['version']}, not {version}; have it reviewed again",
            field="version",
        )
    return Draft.model_validate({name: row[name] for name in Draft.model_fields})


def mark_sent(connection: Connection, call: CallContext, draft_id: str, message_id: str) -> None:
    """Remember as which message the draft was sent."""
    values = {"sent_as": message_id, "updated_at": call.now}
    connection.execute(drafts.update().where(*_this(call.tenant, draft_id)).values(**values))


def _this(tenant: str, draft_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return drafts.c.tenant == tenant, drafts.c.id == draft_id
