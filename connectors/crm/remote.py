"""The CRM tools that change something, in a system elsewhere: what comes one after the other is the same in each."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

from connectors.contract import CallContext, Output, Tool
from connectors.crm.changing import OneAtATime, done, found, mark_of
from connectors.crm.notes import text_of
from connectors.crm.tools import (
    Activity,
    Contact,
    CreateContact,
    Deal,
    DealStage,
    GetContact,
    GetDeal,
    LogActivity,
    UpdateContact,
    UpdateDeal,
)
from connectors.embedded.queries import changes
from connectors.errors import Conflict, InDoubt, InvalidInput


class RemoteCrm(ABC):
    """Implements the tools of `connectors.crm.tools.Crm` that change something, by a system's own steps.

    Args:
        system: Its name.
    """

    def __init__(self, system: str) -> None:
        self._system = system
        self._changing = OneAtATime()

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        """See `RemembersEffects`."""
        return await found(self._system, self._under_key(call, tool, mark_of(call)))

    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        """See `Crm`."""
        await self._refuse_known(call, args.email)
        made = await self._make_contact(call, args)
        return await done(self.crm_get_contact(call, GetContact(contact_id=made)))

    async def crm_update_contact(self, call: CallContext, args: UpdateContact) -> Contact:
        """See `Crm`."""
        wanted = GetContact(contact_id=args.contact_id)
        async with self._changing.of(args.contact_id):
            current = await self.crm_get_contact(call, wanted)
            changed = changes("contact", current, args)
            if "email" in changed:
                await self._refuse_known(call, changed["email"])
            await self._change_contact(call, current, changed)
            return await done(self.crm_get_contact(call, wanted))

    async def crm_update_deal(self, call: CallContext, args: UpdateDeal) -> Deal:
        """See `Crm`."""
        wanted = GetDeal(deal_id=args.deal_id)
        async with self._changing.of(args.deal_id):
            current = await self.crm_get_deal(call, wanted)
            if current.stage in ("won", "lost"):
                raise Conflict(f"deal `{current.id}` is already {current.stage} and cannot be changed", field="deal_id")
            await self._change_deal(call, current, changes("deal", current, args))
            return await done(self.crm_get_deal(call, wanted))

    async def crm_log_activity(self, call: CallContext, args: LogActivity) -> Activity:
        """See `Crm`."""
        if not (args.contact_id or args.account_id):
            raise InvalidInput("give the `contact_id` or the `account_id` that it concerns", field="contact_id")
        activity = await self._log(call, args, text_of(args, call.actor, mark_of(call)))
        if activity is None:
            raise InDoubt("it was logged, and then could not be read")
        return activity

    async def _refuse_known(self, call: CallContext, email: str) -> None:
        if known := await self._known_at(call, email):
            message = f"`{email}` already belongs to contact `{known}`; update that contact instead"
            raise Conflict(message, field="email")

    def _renamed(
        self, what: str, changed: Mapping[str, Any], names: Mapping[str, str], besides: Collection[str] = ()
    ) -> dict[str, Any]:
        """What changes, by the system's names.

        Args:
            what: Of what, such as `contact`.
            changed: What changes.
            names: The system's, by ours.
            besides: What is written in another way.

        Raises:
            InvalidInput: If the system has no field for something.
        """
        given = {ours: value for ours, value in changed.items() if ours not in besides}
        if missing := [ours for ours in given if ours not in names]:
            words = missing[0].replace("_", " ")
            raise InvalidInput(f"{self._system} keeps no {words} of a {what}; leave it out", field=missing[0])
        return {names[ours]: value for ours, value in given.items()}

    def _stage_of(self, stages: Mapping[str, DealStage], stage: DealStage) -> str:
        """The system's stage for one of ours; the first of several.

        Raises:
            InvalidInput: If there is none.
        """
        for theirs, ours in stages.items():
            if ours == stage:
                return theirs
        raise InvalidInput(f"{self._system} has no stage for `{stage}`", field="stage")

    @abstractmethod
    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        """See `Crm`."""

    @abstractmethod
    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        """See `Crm`."""

    @abstractmethod
    async def _under_key(self, call: CallContext, tool: Tool, mark: str) -> Output | None:
        """What a tool changed under a mark, as it is now; None if there is nothing."""

    @abstractmethod
    async def _known_at(self, call: CallContext, email: str) -> str | None:
        """The id of the contact with this address."""

    @abstractmethod
    async def _make_contact(self, call: CallContext, args: CreateContact) -> str:
        """Make a contact, marked with the key; give its id."""

    @abstractmethod
    async def _change_contact(self, call: CallContext, current: Contact, changed: Mapping[str, Any]) -> None:
        """Change a contact, if it is still as it was read, and mark it with the key."""

    @abstractmethod
    async def _change_deal(self, call: CallContext, current: Deal, changed: Mapping[str, Any]) -> None:
        """Change a deal, if it is still as it was read, and mark it with the key."""

    @abstractmethod
    async def _log(self, call: CallContext, args: LogActivity, text: str) -> Activity | None:
        """Keep a text about whom an activity concerns; None if it cannot be read afterwards."""
