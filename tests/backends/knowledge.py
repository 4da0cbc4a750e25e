"""What holds for every knowledge back end, whatever system its documents lie in."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import anyio
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.errors import InvalidInput, NotFound, Unavailable
from connectors.knowledge.folder import FolderSource
from connectors.knowledge.git import GitSource
from connectors.knowledge.tools import (
    MAX_DOCUMENT_READ,
    Document,
    GetDocument,
    Knowledge,
    Passage,
    SearchKnowledge,
    Trust,
)

TENANT = "larkspur"
NOW = datetime(2025, 6, 3, 10, 0, tzinfo=UTC)
EVERYONE = frozenset({"everyone"})
LEADS, SALES = EVERYONE | {"leads"}, EVERYONE | {"sales"}
REFUNDS = "# Refunds\n\nWe refund within 30 days.\n\n## Late returns\n\nAfter that, a lead decides."


_IN_A_WORLD = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow]
_TEXTS = st.lists(st.sampled_from(["lamp", "desk", "merger", "# Plans\n", "lamp " * 9]), min_size=1, max_size=6)
_READERS = st.sets(st.sampled_from(["everyone", "leads", "sales", "board"]), min_size=1)


@dataclass(frozen=True)
class Written:
    """A document as its owners have it; `name` is letters, digits and `-`."""

    name: str
    text: str
    readers: tuple[str, ...] = ("everyone",)
    origin: Trust = "internal"
    updated_at: datetime = NOW


class LookedAt(Knowledge, Protocol):
    """A back end that can be declared."""

    async def look(self, call: CallContext) -> str: ...


class World(Protocol):
    """A real system with documents in it, and the back end over it.

    `keeps_origin` says whether its documents have an origin of their own, `tells_readers` whether it tells who may
    read them.
    """

    keeps_origin: bool
    tells_readers: bool

    @property
    def knowledge(self) -> Knowledge: ...

    async def hold(self, documents: Sequence[Written]) -> None:
        """Have exactly these documents in the system from now on."""
        ...


class LosableWorld(World, Protocol):
    """A world whose system may fail."""

    @property
    def knowledge(self) -> LookedAt: ...

    def lost(self) -> AbstractAsyncContextManager[None]:
        """Have the system out of reach for a while."""
        ...


def call(*readers: frozenset[str], tenant: str = TENANT) -> CallContext:
    return CallContext(tenant=tenant, actor="ana", key="k", now=NOW, readers=readers or (EVERYONE,))


async def found(world: World, query: str, asked: CallContext | None = None, **args: object) -> list[Passage]:
    wanted = SearchKnowledge.model_validate({"query": query, "limit": 50, **args})
    return (await world.knowledge.knowledge_search_documents(asked or call(), wanted)).passages


async def titles(world: World, query: str, asked: CallContext | None = None, **args: object) -> list[str]:
    """The titles of what is found, each once, best first."""
    return list(dict.fromkeys([passage.title for passage in await found(world, query, asked, **args)]))


async def whole(world: World, document_id: str, asked: CallContext | None = None, offset: int = 0) -> Document:
    args = GetDocument(document_id=document_id, offset=offset)
    return await world.knowledge.knowledge_get_document(asked or call(), args)


class KnowledgeContract:
    """The cases; a back end's own class has a fixture `world`."""

    # Searching

    async def test_a_passage_comes_with_its_document_date_and_readers(self, world: World) -> None:
        await world.hold([Written("rules", REFUNDS, readers=("everyone", "leads")), Written("other", "Lamps.")])
        best, *_ = await found(world, "who decides on late returns?")
        assert "After that, a lead decides." in best.text
        assert (best.title, best.updated_at) == ("rules", NOW)
        assert set(best.readers) == ({"everyone", "leads"} if world.tells_readers else set())
        assert best.source
        document = await whole(world, best.document_id)
        assert (document.id, document.title, document.source) == (best.document_id, "rules", best.source)
        assert REFUNDS in document.text

    async def test_a_passage_of_a_document_with_headings_names_them(self, world: World) -> None:
        await world.hold([Written("rules", REFUNDS)])
        best, *_ = await found(world, "who decides on late returns?")
        assert best.heading == "Refunds › Late returns"

    async def test_more_and_rarer_words_rank_higher(self, world: World) -> None:
        common = [Written(f"common-{n}", "our customers and our lamps") for n in range(5)]
        await world.hold(
            [*common, Written("both", "our warranty for lamps"), Written("rare", "our customers and our warranty")]
        )
        passages = await found(world, "lamps warranty")
        assert [passage.title for passage in passages][:2] == ["both", "rare"]
        scores = [passage.score for passage in passages]
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 1 for score in scores)

    async def test_official_documents_are_preferred_and_newer_ones_break_a_tie(self, world: World) -> None:
        if not world.keeps_origin:
            pytest.skip("its documents have no origin of their own")
        old = NOW - timedelta(days=900)
        await world.hold(
            [
                Written("w", "refund rules", origin="external"),
                Written("x", "refund rules", updated_at=old),
                Written("y", "refund rules"),
                Written("z", "refund rules", origin="official", updated_at=old),
            ]
        )
        assert await titles(world, "refund rules") == ["z", "y", "x", "w"]
        assert await titles(world, "refund rules", origin="external") == ["w"]

    @pytest.mark.parametrize("query", ["REFUNDS", "refund", "GRÖßE"])
    async def test_words_are_found_in_any_case_and_with_other_endings(self, world: World, query: str) -> None:
        await world.hold([Written("x", "Refunding. Eine Größe der Lampen"), Written("y", "nothing like it")])
        assert await titles(world, query) == ["x"]

    async def test_no_text_is_read_as_search_syntax(self, world: World) -> None:
        await world.hold([Written("rules", REFUNDS), Written("hidden", REFUNDS, readers=("board",))])
        for query in (
            '"',
            "'",
            "*",
            "NEAR(lamp desk)",
            "x AND",
            "text:x",
            "x) OR (1",
            "-x",
            "^x",
            "{v w}:z",
            "' OR 1=1 --",
        ):
            assert await titles(world, query) == []
        for query in ("!refund", "refund | !x", "refund & ", "'refund' <-> ", "refund:*", "refund\\", "%refund_"):
            assert await titles(world, query) == ["rules"]

    @settings(deadline=None, max_examples=30, database=None, suppress_health_check=_IN_A_WORLD)
    @given(query=st.text(min_size=1, max_size=200))
    async def test_any_text_can_be_searched_for(self, world: World, query: str) -> None:
        await world.hold([Written("rules", REFUNDS)])
        args = SearchKnowledge.model_construct(query=query, origin=None, limit=5, cursor="")
        await world.knowledge.knowledge_search_documents(call(), args)

    async def test_pages_hold_every_hit_of_a_thousand_once_and_best_first(self, world: World) -> None:
        await world.hold([Written(f"d{n}", "lamp desk" if n % 3 else "lamp") for n in range(1_000)])
        seen: list[Passage] = []
        cursor = ""
        while True:
            args = SearchKnowledge(query="lamp desk", limit=50, cursor=cursor)
            page = await world.knowledge.knowledge_search_documents(call(), args)
            assert len(page.passages) <= 50
            seen += page.passages
            if not (cursor := page.next_cursor):
                break
        assert {passage.title for passage in seen} == {f"d{n}" for n in range(1_000)}
        assert len(seen) == 1_000
        assert [passage.score for passage in seen] == sorted((passage.score for passage in seen), reverse=True)

    async def test_a_foreign_cursor_is_refused(self, world: World) -> None:
        await world.hold([Written("rules", REFUNDS)])
        with pytest.raises(InvalidInput, match="cursor"):
            await found(world, "x", cursor="bm9uc2Vuc2U")

    # Who may read

    @pytest.mark.parametrize(
        ("readers", "acting", "may_read"),
        [
            (("everyone",), (LEADS, SALES), True),
            (("leads",), (LEADS,), True),
            (("leads",), (EVERYONE,), False),
            (("leads",), (LEADS, EVERYONE), False),
            (("leads",), (EVERYONE, LEADS), False),
            (("leads",), (LEADS, SALES), False),
            (("leads", "sales"), (LEADS, SALES), True),
            (("everyone",), (), False),
            (("everyone",), (frozenset(),), False),
            (("everyone",), (EVERYONE, frozenset()), False),
            (("Leads",), (LEADS,), False),
        ],
    )
    async def test_a_document_is_readable_only_if_every_acting_party_shares_a_group_with_it(
        self,
        world: World,
        readers: tuple[str, ...],
        acting: tuple[frozenset[str], ...],
        *,
        may_read: bool,
    ) -> None:
        await world.hold([Written("rules", REFUNDS, readers=readers)])
        document_id = (await found(world, "refund", call(frozenset(readers))))[0].document_id
        asked = CallContext(tenant=TENANT, actor="a", key="k", now=NOW, readers=acting)
        assert bool(await found(world, "refund", asked)) is may_read
        if may_read:
            assert REFUNDS in (await whole(world, document_id, asked)).text
        else:
            with pytest.raises(NotFound):
                await whole(world, document_id, asked)

    async def test_an_unreadable_document_is_answered_like_a_missing_one(self, world: World) -> None:
        await world.hold([Written("rules", REFUNDS, readers=("leads",)), Written("open", "lamp")])
        hidden = (await found(world, "refund", call(LEADS)))[0].document_id
        answers = []
        for document_id in (hidden, "doc_missing"):
            with pytest.raises(NotFound) as refused:
                await whole(world, document_id)
            answers.append(refused.value.message.replace(document_id, "ID"))
        assert answers[0] == answers[1]

    async def test_another_tenant_sees_nothing(self, world: World) -> None:
        await world.hold([Written("rules", REFUNDS)])
        document_id = (await found(world, "refund"))[0].document_id
        assert await found(world, "refund", call(tenant="other")) == []
        with pytest.raises(NotFound):
            await whole(world, document_id, call(tenant="other"))

    @settings(deadline=None, max_examples=15, database=None, suppress_health_check=_IN_A_WORLD)
    @given(
        held=st.lists(st.tuples(_TEXTS, _READERS, st.sampled_from(["official", "internal", "external"])), max_size=6),
        acting=st.lists(st.frozensets(st.sampled_from(["everyone", "leads", "sales"])), max_size=2),
    )
    async def test_what_a_caller_may_not_read_might_as_well_not_exist(
        self, world: World, held: list[tuple[list[str], set[str], Trust]], acting: list[frozenset[str]]
    ) -> None:
        documents = [
            Written(f"d{n}", " ".join(words), tuple(sorted(readers)), origin)
            for n, (words, readers, origin) in enumerate(held)
        ]
        asked = CallContext(tenant=TENANT, actor="a", key="k", now=NOW, readers=tuple(acting))
        readable = [each for each in documents if acting and all(party & {*each.readers} for party in acting)]
        await world.hold(documents)
        among_all = await _everything(world, asked)
        assert {title for title, _ in among_all} <= {each.name for each in readable}
        await world.hold(readable)
        assert await _everything(world, asked) == among_all

    # Freshness

    async def test_a_changed_document_is_found_by_its_new_words_only(self, world: World) -> None:
        await world.hold([Written("a", "lamp"), Written("b", "desk")])
        assert await titles(world, "lamp") == ["a"]
        await world.hold([Written("a", "chair"), Written("b", "desk")])
        assert (await titles(world, "lamp"), await titles(world, "chair")) == ([], ["a"])

    async def test_a_deleted_document_is_gone_at_once(self, world: World) -> None:
        await world.hold([Written("a", "lamp"), Written("b", "lamp desk")])
        [document_id] = [passage.document_id for passage in await found(world, "lamp") if passage.title == "a"]
        await world.hold([Written("b", "lamp desk")])
        assert await titles(world, "lamp") == ["b"]
        with pytest.raises(NotFound):
            await whole(world, document_id)

    async def test_a_renamed_document_is_found_under_its_new_name_only(self, world: World) -> None:
        await world.hold([Written("before", "lamp")])
        assert await titles(world, "lamp") == ["before"]
        await world.hold([Written("after", "lamp")])
        assert await titles(world, "lamp") == ["after"]

    async def test_a_document_that_is_closed_to_a_caller_is_gone_at_once(self, world: World) -> None:
        await world.hold([Written("a", "lamp")])
        document_id = (await found(world, "lamp"))[0].document_id
        await world.hold([Written("a", "lamp", readers=("board",))])
        assert await found(world, "lamp") == []
        with pytest.raises(NotFound):
            await whole(world, document_id)

    # Whole documents

    async def test_a_long_document_is_read_in_parts(self, world: World) -> None:
        text = "".join(f"Line {n} ü\n" for n in range(8_000)) + "end"
        await world.hold([Written("long", text)])
        document_id = (await found(world, "line"))[0].document_id
        parts: list[str] = []
        offset: int | None = 0
        while offset is not None:
            part = await whole(world, document_id, offset=offset)
            assert len(part.text) <= MAX_DOCUMENT_READ
            parts.append(part.text)
            offset = part.next_offset
        assert len(parts) == 2
        assert "".join(parts).endswith(text)
        with pytest.raises(InvalidInput, match="beyond"):
            await whole(world, document_id, offset=10_000_000)


class LosableContract(KnowledgeContract):
    """The cases for a back end over a system that may fail."""

    async def test_a_system_that_cannot_be_read_is_not_answered_for(self, world: LosableWorld) -> None:
        await world.hold([Written("rules", REFUNDS)])
        document_id = (await found(world, "refund"))[0].document_id
        async with world.lost():
            with pytest.raises(Unavailable):
                await found(world, "refund")
            with pytest.raises(Unavailable):
                await whole(world, document_id)
            with pytest.raises(Unavailable):
                await world.knowledge.look(call())
        assert await titles(world, "refund") == ["rules"]

    async def test_a_look_says_how_much_is_there(self, world: LosableWorld) -> None:
        await world.hold([Written("rules", REFUNDS), Written("board", "secret", readers=("board",))])
        assert "2 documents" in await world.knowledge.look(call())


async def _everything(world: World, asked: CallContext) -> list[tuple[str, object]]:
    """Every answer that a caller gets, with the title of the document that it is about."""
    answers: list[tuple[str, object]] = []
    for query in ("lamp", "merger desk", "plans lamp merger"):
        for passage in await found(world, query, asked):
            answers += [(passage.title, passage), (passage.title, await whole(world, passage.document_id, asked))]
    return answers


@asynccontextmanager
async def given_up_after(step: str, source: FolderSource | GitSource) -> AsyncIterator[None]:
    """A look at a source that was given up after a step of it; what its thread still does comes when the block ends."""
    taken, looking, go_on = getattr(source, step), threading.Event(), threading.Event()

    def held_up(*given: Any) -> Any:
        found = taken(*given)
        looking.set()
        go_on.wait(10)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, step, held_up)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.listing)
            await anyio.to_thread.run_sync(looking.wait)
            tasks.cancel_scope.cancel()
    yield
    go_on.set()
    both_idle = threading.Barrier(2)  # its threads are two
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(source._threads.run, both_idle.wait)
