"""Documents are found by what they say, best passage first, and only by those who may read them."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.embedded.database import Database
from connectors.embedded.loading import LoadReport
from connectors.errors import InvalidInput, NotFound
from connectors.knowledge.chunks import MAX_PASSAGE, Chunk, split
from connectors.knowledge.embedded import EmbeddedKnowledge
from connectors.knowledge.tools import MAX_DOCUMENT_READ, Document, GetDocument, Passage, SearchKnowledge
from connectors.records import DocumentRecord

NOW = datetime(2025, 6, 3, 10, 0, tzinfo=UTC)
EVERYONE = frozenset({"everyone"})


def call(*readers: frozenset[str], tenant: str = "larkspur") -> CallContext:
    return CallContext(tenant=tenant, actor="ana", key="k", now=NOW, readers=readers or (EVERYONE,))


def record(source: str, text: str, **more: object) -> DocumentRecord:
    fields = {"source_id": source, "title": source, "text": text, "source": f"{source}.md", "updated_at": NOW}
    return DocumentRecord.model_validate(fields | more)


@pytest.fixture
def knowledge(company_url: str) -> Iterator[EmbeddedKnowledge]:
    database = Database(company_url)
    yield EmbeddedKnowledge(database)
    database.close()


async def found(
    knowledge: EmbeddedKnowledge, query: str, asked: CallContext | None = None, **args: object
) -> list[Passage]:
    wanted = SearchKnowledge.model_validate({"query": query, **args})
    return (await knowledge.knowledge_search_documents(asked or call(), wanted)).passages


async def titles(
    knowledge: EmbeddedKnowledge, query: str, asked: CallContext | None = None, **args: object
) -> list[str]:
    return [passage.title for passage in await found(knowledge, query, asked, **args)]


REFUNDS = "# Refunds\n\nWe refund within 30 days.\n\n## Late returns\n\nAfter that, a lead decides."


# Searching


async def test_a_passage_comes_with_heading_source_date_and_readers(knowledge: EmbeddedKnowledge) -> None:
    await knowledge.load("larkspur", [record("rules", REFUNDS, origin="official", readers=["everyone", "leads"])])
    best, *_ = await found(knowledge, "who decides on late returns?")
    assert (best.heading, best.text) == ("Refunds › Late returns", "After that, a lead decides.")
    assert (best.source, best.origin, best.readers, best.updated_at) == (
        "rules.md",
        "official",
        ["everyone", "leads"],
        NOW,
    )


async def test_more_and_rarer_words_rank_higher(knowledge: EmbeddedKnowledge) -> None:
    await knowledge.load(
        "larkspur",
        [record(f"common {n}", "our customers and our lamps") for n in range(5)]
        + [record("both", "our warranty for lamps"), record("rare", "warranty only")],
    )
    passages = await found(knowledge, "lamps warranty", limit=50)
    assert [passage.title for passage in passages][:2] == ["both", "rare"]
    scores = [passage.score for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


async def test_official_documents_are_slightly_preferred_and_new_ones_break_a_tie(knowledge: EmbeddedKnowledge) -> None:
    old = NOW - timedelta(days=900)
    await knowledge.load(
        "larkspur",
        [
            record("a", "refund rules", origin="external"),
            record("b", "refund rules", updated_at=old),
            record("c", "refund rules"),
            record("d", "refund rules", origin="official", updated_at=old),
        ],
    )
    # The titles are one letter each, so that they all fit alike.
    assert await titles(knowledge, "refund rules") == ["d", "c", "b", "a"]
    assert await titles(knowledge, "refund rules", origin="external") == ["a"]


@pytest.mark.parametrize("query", ["REFUNDS", "refund", "größe", "GRÖßE", "Straßen-Lampe", "rückgabe"])
async def test_words_are_found_in_any_case_with_and_without_accents_and_endings(
    knowledge: EmbeddedKnowledge, query: str
) -> None:
    await knowledge.load("larkspur", [record("x", "Refunding. Die Größen der Lampen, Rückgaberecht")])
    assert await titles(knowledge, query) == ["x"]


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'",
        "*",
        "NEAR(refund lamp)",
        "refund AND",
        "text:refund",
        "refund) OR (1",
        "-refund",
        "^refund",
        "{v w}:z",
        "' OR 1=1 --",
        '"refund" "',
        "a" * 200,
        "?",
        "refund\\",
        "%",
        "🦆",
        "_",
        "+refund",
        "NOT",
    ],
)
async def test_no_text_is_read_as_search_syntax(knowledge: EmbeddedKnowledge, query: str) -> None:
    await knowledge.load("larkspur", [record("rules", REFUNDS), record("hidden", REFUNDS, readers=["board"])])
    assert set(await titles(knowledge, query)) == ({"rules"} if "refund" in query else set())


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(min_size=1, max_size=200))
async def test_any_text_can_be_searched_for(knowledge: EmbeddedKnowledge, query: str) -> None:
    await knowledge.load("larkspur", [record("rules", REFUNDS)])
    args = SearchKnowledge.model_construct(query=query, origin=None, limit=5, cursor="")
    await knowledge.knowledge_search_documents(call(), args)


@settings(deadline=None, max_examples=20)
@given(
    texts=st.lists(st.sampled_from(["lamp", "lamp desk", "desk", "lamp lamp", "chair"]), max_size=10),
    limit=st.integers(1, 4),
)
async def test_pages_hold_every_hit_once_best_first(texts: list[str], limit: int) -> None:
    database = Database("sqlite:///file::memory:?uri=true")
    try:
        knowledge = EmbeddedKnowledge(database)
        await knowledge.load("larkspur", [record(f"d{n}", text) for n, text in enumerate(texts)])
        seen: list[Passage] = []
        cursor = ""
        for _ in range(len(texts) + 1):
            page = await knowledge.knowledge_search_documents(
                call(), SearchKnowledge(query="lamp desk", limit=limit, cursor=cursor)
            )
            assert len(page.passages) <= limit
            seen += page.passages
            cursor = page.next_cursor
            if not cursor:
                break
        assert len({passage.title for passage in seen}) == len(seen) == sum(text != "chair" for text in texts)
        assert seen == await found(knowledge, "lamp desk", limit=50)
        assert [p.score for p in seen] == sorted((p.score for p in seen), reverse=True)
    finally:
        database.close()


async def test_a_foreign_cursor_is_refused(knowledge: EmbeddedKnowledge) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        await found(knowledge, "x", cursor="bm9uc2Vuc2U")


# Who may read


LEADS, SALES = frozenset({"everyone", "leads"}), frozenset({"everyone", "sales"})


@pytest.mark.parametrize(
    ("readers", "acting", "may_read"),
    [
        (["everyone"], (EVERYONE,), True),
        (["everyone"], (LEADS, SALES), True),
        (["leads"], (LEADS,), True),
        (["leads"], (EVERYONE,), False),
        (["leads"], (LEADS, EVERYONE), False),
        (["leads"], (LEADS, SALES), False),
        (["leads", "sales"], (LEADS, SALES), True),
        (["leads"], (LEADS, LEADS), True),
        (["everyone"], (), False),
        (["everyone"], (frozenset(),), False),
        (["everyone"], (EVERYONE, frozenset()), False),
        (["Leads"], (LEADS,), False),
    ],
)
async def test_a_document_is_readable_only_if_every_acting_party_shares_a_group_with_it(
    knowledge: EmbeddedKnowledge, readers: list[str], acting: tuple[frozenset[str], ...], *, may_read: bool
) -> None:
    await knowledge.load("larkspur", [record("rules", REFUNDS, readers=readers)])
    everybody = call(frozenset(readers))
    document_id = (await found(knowledge, "refund", everybody))[0].document_id
    asked = CallContext(tenant="larkspur", actor="a", key="k", now=NOW, readers=acting)
    assert bool(await found(knowledge, "refund", asked)) is may_read
    if may_read:
        assert (await knowledge.knowledge_get_document(asked, GetDocument(document_id=document_id))).text == REFUNDS
    else:
        with pytest.raises(NotFound):
            await knowledge.knowledge_get_document(asked, GetDocument(document_id=document_id))


async def test_an_unreadable_document_is_answered_like_a_missing_one(knowledge: EmbeddedKnowledge) -> None:
    await knowledge.load("larkspur", [record("rules", REFUNDS, readers=["leads"])])
    hidden = (await found(knowledge, "refund", call(LEADS)))[0].document_id
    answers = []
    for document_id in (hidden, "doc_missing"):
        with pytest.raises(NotFound) as refused:
            await knowledge.knowledge_get_document(call(), GetDocument(document_id=document_id))
        answers.append(refused.value.message.replace(document_id, "ID"))
    assert answers[0] == answers[1]


async def test_scores_do_not_tell_what_hidden_documents_say(knowledge: EmbeddedKnowledge) -> None:
    await knowledge.load("larkspur", [record("a", "lamp merger one"), record("b", "lamp desk two")])
    before = await found(knowledge, "lamp merger desk")
    hidden = [record(f"h{n}", "merger plans here", readers=["board"]) for n in range(20)]
    await knowledge.load("larkspur", hidden)
    await knowledge.load("other", [record(f"o{n}", "merger plans here") for n in range(20)])
    after = await found(knowledge, "lamp merger desk")
    assert [passage.title for passage in after] == [passage.title for passage in before]
    assert all(math.isclose(x.score, y.score, abs_tol=0.001) for x, y in zip(before, after, strict=True))


async def test_another_tenants_documents_are_not_found(knowledge: EmbeddedKnowledge) -> None:
    await knowledge.load("larkspur", [record("rules", REFUNDS)])
    document_id = (await found(knowledge, "refund"))[0].document_id
    assert await found(knowledge, "refund", call(tenant="other")) == []
    with pytest.raises(NotFound):
        await knowledge.knowledge_get_document(call(tenant="other"), GetDocument(document_id=document_id))
    await knowledge.load("other", [record("rules", "Nothing is paid back by refund.")])
    assert [passage.text for passage in await found(knowledge, "refund", limit=1)] == ["We refund within 30 days."]


# Loading and reading whole documents


async def test_loading_again_changes_only_what_changed(knowledge: EmbeddedKnowledge) -> None:
    records = [record("a", "lamp"), record("b", "desk")]
    assert await knowledge.load("larkspur", records) == LoadReport(added=2)
    assert await knowledge.load("larkspur", records) == LoadReport(unchanged=2)
    changed = record("a", "chair", readers=["leads"])
    assert await knowledge.load("larkspur", [changed, records[1]]) == LoadReport(changed=1, unchanged=1)
    assert await titles(knowledge, "lamp", call(LEADS)) == []
    assert await titles(knowledge, "chair", call(LEADS)) == ["a"]
    assert await titles(knowledge, "chair") == []


async def test_of_two_documents_from_one_source_the_last_one_counts(knowledge: EmbeddedKnowledge) -> None:
    assert await knowledge.load("larkspur", [record("a", "lamp"), record("a", "desk")]) == LoadReport(
        added=1, unchanged=1
    )
    assert await titles(knowledge, "lamp desk") == ["a"]


async def test_a_long_document_is_read_in_parts(knowledge: EmbeddedKnowledge) -> None:
    text = "".join(f"Line {n} ü\n" for n in range(12_000))
    await knowledge.load("larkspur", [record("long", text), record("empty", "")])
    document_id = (await found(knowledge, "line"))[0].document_id
    parts: list[Document] = []
    offset: int | None = 0
    while offset is not None:
        part = await knowledge.knowledge_get_document(call(), GetDocument(document_id=document_id, offset=offset))
        assert len(part.text) <= MAX_DOCUMENT_READ
        parts.append(part)
        offset = part.next_offset
    assert "".join(part.text for part in parts) == text
    with pytest.raises(InvalidInput, match="beyond"):
        await knowledge.knowledge_get_document(call(), GetDocument(document_id=document_id, offset=len(text)))
    empty = (await found(knowledge, "empty"))[0].document_id
    assert (await knowledge.knowledge_get_document(call(), GetDocument(document_id=empty))).text == ""


# Passages


def test_a_document_is_split_at_its_headings() -> None:
    text = "Intro\n# A\n\none\n\ntwo\n## B ##\n```\n# no heading\n```\n# C\n## D\n# E\nlast"
    assert split(text) == [
        Chunk("", "Intro"),
        Chunk("A", "one\n\ntwo"),
        Chunk("A › B", "```\n# no heading\n```"),
        Chunk("C › D", ""),
        Chunk("E", "last"),
    ]


def test_a_long_paragraph_is_split_after_a_sentence() -> None:
    chunks = split("This is a sentence. " * 200)
    assert len(chunks) == 4
    assert all(chunk.text.endswith("sentence.") for chunk in chunks)


@given(
    st.lists(
        st.sampled_from(["# H\n", "## I\n", "\n\n", "\n", "word ", "x" * 700, "End. ", "ü" * 1300, "```\n"]),
        max_size=30,
    )
)
def test_splitting_loses_no_text_and_keeps_passages_small(pieces: list[str]) -> None:
    text = "".join(pieces)
    chunks = split(text)
    assert all(len(chunk.text) <= MAX_PASSAGE for chunk in chunks)
    kept = "".join("".join(chunk.text.split()) for chunk in chunks)
    outside = "".join("".join(line.split()) for line in text.splitlines() if not line.startswith(("# ", "## ")))
    assert kept == outside or "```" in text
