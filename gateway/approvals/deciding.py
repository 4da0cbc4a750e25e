"""What policy says to a question's call, outside the call itself: when policy changed, or somebody edits it."""

from collections.abc import Mapping
from datetime import datetime

from connectors.contract import Tool
from gateway.approvals.approval import Question, schema_hash
from gateway.catalog import InvalidArguments, validate
from gateway.flow.arguments import changed_arguments, edited_flow
from gateway.policy.decision import Decision, Verdict
from gateway.policy.judge import Policy
from gateway.run_history import RunHistory


class Decider:
    """Decides for the caller of a question, with what its run did before.

    Args:
        tools: Every tool by name.
        history: What runs did before.
    """

    def __init__(self, tools: Mapping[str, Tool], history: RunHistory) -> None:
        self._tools = tools
        self._history = history

    async def decide(
        self, question: Question, arguments: Mapping[str, object], policy: Policy, now: datetime
    ) -> Decision:
        """What policy says to the question's caller with these arguments, as Python values."""
        looked_back_at = policy.needs_history(question.tool)
        async with self._history.turn(question.principal, looked_back_at, now) as earlier:
            changed = changed_arguments(self._as_asked(question), arguments)
            return policy.decide(
                question.principal, question.tool, arguments, now, earlier, edited_flow(question.flow, changed)
            )

    def _as_asked(self, question: Question) -> Mapping[str, object]:
        tool = self._tools.get(question.tool)
        try:
            return validate(tool, question.arguments).model_dump() if tool else {}
        except InvalidArguments:
            return {}

    async def decide_as_asked(self, question: Question, policy: Policy, now: datetime) -> Decision:
        """What policy says to the call as it was asked about; a tool that is not what it was is denied."""
        tool = self._tools.get(question.tool)
        try:
            if tool is None or schema_hash(tool) != question.schema_hash:
                raise InvalidArguments("the tool has changed", "")
            arguments = validate(tool, question.arguments).model_dump()
        except InvalidArguments as error:
            return Decision(Verdict.DENY, (), f"`{question.tool}` takes no such call now: {error}", policy.version)
        return await self.decide(question, arguments, policy, now)
