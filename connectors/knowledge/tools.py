"""The knowledge tools: what any document back end implements and what a caller may ask of it."""

from typing import Annotated, Literal, Protocol

from pydantic import Field

from connectors.contract import Author, CallContext, Effect, Input, Output, WrittenBy, tool
from connectors.fields import Cursor, DocumentId, Limit, Line, OutsiderText, SystemText, Timestamp

MAX_DOCUMENT_READ = 60_000

Group = Annotated[str, Author.ORGANISATION]
Trust = Literal["official", "internal", "external"]
Trusted = Annotated[Trust, WrittenBy((("official", Author.ORGANISATION), ("internal", Author.ORGANISATION)))]


class Passage(Output):
    """A part of a document that answers a search, with where it comes from and how fresh it is."""

    document_id: DocumentId
    title: OutsiderText
    heading: OutsiderText = ""
    text: OutsiderText
    score: float
    source: OutsiderText
    origin: Trusted
    readers: list[Group]
    updated_at: Timestamp


class PassagePage(Output):
    passages: list[Passage]
    next_cursor: SystemText = ""


class Document(Output):
    """A whole document, or as much as fits from `offset` on."""

    id: DocumentId
    title: OutsiderText
    text: OutsiderText
    source: OutsiderText
    origin: Trusted
    readers: list[Group]
    updated_at: Timestamp
    offset: int
    next_offset: int | None = None


class SearchKnowledge(Input):
    query: Line = Field(description="What you want to know, in a few words.")
    origin: Trust | None = Field(default=None, description="Only documents of this origin; `official` rules bind.")
    limit: Limit = 5
    cursor: Cursor = ""


class GetDocument(Input):
    document_id: DocumentId = Field(description="Id of the document, such as `doc_…`.")
    offset: Annotated[int, Field(ge=0, le=2**31)] = Field(default=0, description="Character to start at.")


class Knowledge(Protocol):
    """Every document back end. Documents that a caller's groups may not read are never found."""

    @tool(title="Search knowledge", effect=Effect.READ)
    async def knowledge_search_documents(self, call: CallContext, args: SearchKnowledge) -> PassagePage:
        """Find passages in the company's documents, best first, with source, date and who may read them."""
        ...

    @tool(title="Get a document", effect=Effect.READ)
    async def knowledge_get_document(self, call: CallContext, args: GetDocument) -> Document:
        """Get the text of one document by id."""
        ...
