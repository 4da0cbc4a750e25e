"""The gateway's tools as pydantic-ai sees them. Imported only where an agent is built: pydantic-ai is slow to load."""

from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelResponse
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets.abstract import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from orchestrator.workflows.triage.item_run import ItemRun

_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))


class GatewayToolset(AbstractToolset[ItemRun]):
    """Hands a run's tools to the model and its calls to the gateway, which judges the arguments.

    A refusal or a failure is an ordinary result: raised as an error, it would make the model try again.
    """

    @property
    def id(self) -> str:
        return "remit"

    async def get_tools(self, ctx: RunContext[ItemRun]) -> dict[str, ToolsetTool[ItemRun]]:
        return {
            name: ToolsetTool(
                toolset=self,
                # Writes go one at a time: an update needs the version that it read.
                tool_def=ToolDefinition(
                    name=name,
                    description=tool.description,
                    parameters_json_schema=tool.schema,
                    sequential=not tool.read_only,
                ),
                max_retries=2,
                args_validator=_ANY_OBJECT,
            )
            for name, tool in ctx.deps.tools.items()
        }

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[ItemRun],
        tool: ToolsetTool[ItemRun],  # noqa: ARG002 - the name says it all
    ) -> dict[str, Any]:
        responses = sum(isinstance(message, ModelResponse) for message in ctx.messages)
        return await ctx.deps.call(name, tool_args, step=f"{responses}:{ctx.tool_call_id}")
