"""What a caller says about itself in `_meta`: recorded and shown to whoever approves, never believed."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from connectors.fields import Line

MAX_HOLD_SECONDS = 50  # Clients give up after a minute.
Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Texts = Annotated[tuple[Text, ...], Field(max_length=20)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=MAX_HOLD_SECONDS, allow_inf_nan=False)]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True)


class Case(_Declared):
    """Why an agent wants a call, for the person who is asked: nobody should have to reconstruct its reasoning.

    Args:
        recommendation: What it recommends, in a sentence or two.
        evidence: What that rests on, such as ids of tickets and documents with a word on each.
        confidence: How sure it is, from 0 to 1.
        risk: What could go wrong.
        alternatives: What else could be done.
    """

    model_config = ConfigDict(extra="forbid")

    recommendation: Text
    evidence: Texts = ()
    confidence: Annotated[float | None, Field(ge=0, le=1)] = None
    risk: Text | None = None
    alternatives: Texts = ()


class Cost(_Declared):
    """What the step cost that led to a call.

    Args:
        usd: In US dollars.
        input_tokens: Tokens that the model read.
        output_tokens: Tokens that it wrote.
    """

    model_config = ConfigDict(extra="forbid")

    usd: Annotated[float | None, Field(ge=0, le=1_000_000)] = None
    input_tokens: Annotated[int | None, Field(ge=0, le=2**40)] = None
    output_tokens: Annotated[int | None, Field(ge=0, le=2**40)] = None


class Declared(_Declared):
    """The fields of `_meta` that the gateway looks at.

    Args:
        run: Names the task that the call belongs to.
        model: The model that proposed the call.
        prompt: The prompt and its version.
        key: Idempotency key: the same key is the same call, done once.
        case: For the approver.
        reply: Answers what an approver asked back.
        context: Ids of the documents and records that the model was shown.
        cost: Of the step.
        wait: Seconds that the request may be held for an approver; not recorded.
        grant: A grant's token; not recorded, for whoever has it may use it.
    """

    model_config = ConfigDict(extra="ignore")

    run: Annotated[Line | None, Field(alias="remit/run")] = None
    model: Annotated[Line | None, Field(alias="remit/model")] = None
    prompt: Annotated[Line | None, Field(alias="remit/prompt")] = None
    key: Annotated[Line | None, Field(alias="remit/key")] = None
    case: Annotated[Case | None, Field(alias="remit/case")] = None
    reply: Annotated[Text | None, Field(alias="remit/reply")] = None
    context: Annotated[tuple[Line, ...], Field(alias="remit/context", max_length=100)] = ()
    cost: Annotated[Cost | None, Field(alias="remit/cost")] = None
    wait: Annotated[Seconds | None, Field(alias="remit/wait", exclude=True)] = None

    # What is sent must be a token: a caller who means to narrow itself never goes on unnarrowed by mistake.
    grant: Annotated[str, Field(alias="remit/grant", strict=True, min_length=1, exclude=True, repr=False)] = ""

    def told(self) -> dict[str, Any]:
        """What was said, as JSON data without what was not."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
