import pytest
from pydantic_ai.messages import BinaryContent, ImageUrl, ModelResponse, ToolCallPart

from orchestrator.durable.database import Database
from orchestrator.models.asking import Ask, ModelsUnavailable, NoModelMay, Payer
from orchestrator.models.ledger import Ledger
from tests.orchestrator.models.asking import asking, asking_of, question, register
from tests.orchestrator.models.providers import Drops, Fails, Hangs, Nothing, Page, Plan, Says

CALL = Says(calls=(("look_up", '{"id": "con_1"}'),), tokens=1_000, cached=400, output=30)
SMALL_COST = (600 * 25 + 400 * 25 // 10) * 10 + 30 * 2_000
"""In billionths of a dollar: 0.25, 0.025 and 2 dollars a million tokens."""
CLAUDE_COST = 600 * 3_000 + 400 * 300 + 30 * 15_000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize(("model", "cost"), [("small", SMALL_COST), ("claude", CLAUDE_COST)])
async def test_an_answer_costs_what_its_tokens_cost_to_the_billionth(
    file: Database, model: str, cost: int, stream: bool
) -> None:
    async with asking_of(file, small=[CALL], claude=[CALL], stream=stream) as (it, server):
        answered = await it.registry.ask(question(route=model))
        (line,) = await it.lines()
    (call,) = answered.response.parts
    assert (call.tool_name, call.args_as_dict()) == ("look_up", {"id": "con_1"})
    account = answered.account
    assert (account.model, account.cost) == (model, cost)
    assert (account.input_tokens, account.cached_tokens, account.output_tokens) == (1_000, 400, 30)
    assert (line["cost"], line["reserved"], line["requests"], line["failed"]) == (cost, 0, 1, 0)
    whose = (line["run"], line["workflow"], line["team"], line["customer"], line["prompt"])
    assert whose == ("run_1", "triage", "support", "con_1", "classify@1#abc")
    assert [body.get("stream", False) for _, _, body in server.asked] == [stream]


async def test_a_text_in_pieces_is_the_same_text(file: Database) -> None:
    async with asking_of(file, small=[Says("Grüße, bis bald!")], claude=[Says("Grüße, bis bald!")], stream=True) as (
        it,
        _,
    ):
        for route in ("small", "claude"):
            answered = await it.registry.ask(question(route=route, key=route))
            assert answered.response.text == "Grüße, bis bald!"


async def test_a_route_sets_what_the_request_leaves_open_and_bounds_what_it_sets(file: Database) -> None:
    async with asking_of(file, small=[Says("yes")]) as (it, server):
        await it.registry.ask(question(route="small", settings={"max_tokens": 9_000}, key="a"))
        await it.registry.ask(question(route="small", settings={"max_tokens": 40, "temperature": 0.0}, key="b"))
    first, second = (body for _, _, body in server.asked)
    assert (first["max_completion_tokens"], first["temperature"]) == (500, 0.5)
    assert (second["max_completion_tokens"], second["temperature"]) == (40, 0)
    assert server.asked[0][1]["authorization"] == "Bearer sk-small"


@pytest.mark.parametrize("retry_after", ["3", ""])
async def test_a_busy_model_is_asked_again_after_the_time_that_it_names(file: Database, retry_after: str) -> None:
    async with asking_of(file, small=[Fails(429, retry_after), Says("yes")]) as (it, server):
        answered = await it.registry.ask(question())
        (line,) = await it.lines()
    assert (answered.response.text, answered.account.model) == ("yes", "small")
    assert it.pauses == [3.0 if retry_after else 1.0]
    assert [each.error for each in answered.account.failed] == ["status 429"]
    assert (line["failed"], line["requests"]) == (1, 1)
    assert len(set(server.keys())) == 1, "a model that answered after all must not answer twice"


async def test_a_model_that_wants_to_be_left_alone_for_long_is(file: Database) -> None:
    async with asking_of(file, small=[Fails(429, "3600")], claude=[Says("yes")]) as (it, server):
        answered = await it.registry.ask(question())
    assert (answered.account.model, server.models, it.pauses) == ("claude", ["small", "claude"], [])


@pytest.mark.parametrize(
    ("plan", "asked", "error"),
    [
        (Fails(500), 2, "status 500"),
        (Fails(529), 2, "status 529"),
        (Fails(401), 1, "status 401"),
        (Fails(400), 1, "status 400"),
        (Drops(), 2, "the connection broke"),
        (Page(), 2, "malformed answer"),
        (Says(calls=(("look_up", '{"id": '),)), 2, "malformed tool arguments"),
        (Says(calls=(("look_up", '["con_1"]'),)), 2, "malformed tool arguments"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "in pieces"])
async def test_the_next_model_answers_when_one_fails(
    file: Database, plan: Plan, asked: int, error: str, stream: bool
) -> None:
    async with asking_of(file, small=[plan], claude=[Says("yes")], stream=stream) as (it, server):
        answered = await it.registry.ask(question())
    assert answered.response.text == "yes"
    assert server.models == ["small"] * asked + ["claude"]
    assert [each.model for each in answered.account.failed] == ["small"] * asked
    assert {each.error for each in answered.account.failed} == {error}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "in pieces"])
async def test_a_model_that_stays_silent_is_given_up(file: Database, stream: bool) -> None:
    async with asking_of(file, small=[Hangs()], claude=[Hangs()], stream=stream) as (it, server):
        with pytest.raises(ModelsUnavailable, match=r"`small`: no answer within 0\.2 s; `claude`: no answer"):
            await it.registry.ask(question(route="hasty"))
        assert [(line["failed"], line["cost"], line["reserved"]) for line in await it.lines()] == [(1, 0, 0)] * 2
    assert server.models == ["small", "claude"]


async def test_what_a_provider_wrote_stands_in_no_error(file: Database) -> None:
    async with asking_of(file, small=[Fails(500)], claude=[Fails(400)]) as (it, _):
        with pytest.raises(ModelsUnavailable) as caught:
            await it.registry.ask(question())
    assert "secret words" not in str(caught.value)
    assert "sk-" not in str(caught.value)


async def test_failed_attempts_cost_what_the_provider_says_that_they_took(file: Database) -> None:
    broken = Says(calls=(("look_up", "{"),), tokens=200, output=5)
    async with asking_of(file, small=[broken], claude=[CALL]) as (it, _):
        answered = await it.registry.ask(question())
        small, claude = sorted(await it.lines(), key=lambda line: line["model"], reverse=True)
    each = 200 * 250 + 5 * 2_000
    assert (small["cost"], small["failed"], small["requests"]) == (2 * each, 2, 0)
    assert (claude["cost"], claude["failed"], claude["requests"]) == (CLAUDE_COST, 0, 1)
    assert answered.account.cost == 2 * each + CLAUDE_COST
    assert answered.account.input_tokens == 2 * 200 + 1_000


async def test_a_stream_that_breaks_costs_what_it_had_said_by_then(file: Database) -> None:
    async with asking_of(file, claude=[Drops(), CALL], stream=True) as (it, _):
        answered = await it.registry.ask(question(route="claude"))
    assert answered.account.cost == 70 * 3_000 + 1 * 15_000 + CLAUDE_COST


async def test_an_answer_whose_tokens_are_not_told_costs_the_most_that_it_can(file: Database) -> None:
    async with asking_of(file, small=[Says("yes", measured=False)]) as (it, _):
        answered = await it.registry.ask(question())
    assert answered.account.cost > 400 * 2_000, "at least all tokens out that it was allowed"


@pytest.mark.parametrize(("plan", "stream"), [(Drops(), True), (Nothing(), False)], ids=["broken off", "malformed"])
async def test_what_a_failed_answer_took_and_nobody_can_tell_costs_the_most_that_it_can(
    file: Database, plan: Plan, stream: bool
) -> None:
    async with asking_of(file, small=[plan, Says("yes", tokens=1, output=1)], stream=stream) as (it, _):
        answered = await it.registry.ask(question(route="small"))
        (line,) = await it.lines()
    assert answered.response.text == "yes"
    assert line["cost"] == answered.account.cost > 400 * 2_000


async def test_no_answer_brings_money_back(file: Database) -> None:
    async with asking_of(file, small=[Says("yes", tokens=100, cached=9_000)]) as (it, _):
        answered = await it.registry.ask(question(route="small"))
    assert answered.account.cost >= 100 * 250


@pytest.mark.parametrize(
    "says", [Says("\ud83d"), Says(calls=(("look_up", '{"id": "\\ud83d"}'),))], ids=["text", "call"]
)
async def test_half_a_letter_is_a_malformed_answer_and_is_paid(file: Database, says: Says) -> None:
    async with asking_of(file, small=[says], claude=[Says("yes")]) as (it, _):
        answered = await it.registry.ask(question())
        lines = await it.lines()
    assert answered.response.text == "yes"
    assert [(line["reserved"], line["cost"] > 0) for line in lines] == [(0, True)] * 2


async def test_a_malformed_answer_is_not_asked_for_again_under_its_key(file: Database) -> None:
    async with asking_of(file, small=[Says(calls=(("look_up", "{"),)), CALL]) as (it, server):
        server.knows_keys = True
        answered = await it.registry.ask(question())
    assert answered.account.model == "small"
    assert server.paid["small"] == 2


class Died(BaseException):
    """The worker died."""


class DyingLedger(Ledger):
    async def settle(self, *_: object, **__: object) -> None:
        raise Died


async def test_a_provider_that_knows_keys_answers_a_restarted_step_once(file: Database) -> None:
    async with asking_of(file, small=[CALL]) as (it, server):
        server.knows_keys = True
        living = it.registry.ledger
        it.registry.ledger = DyingLedger(file, living.budgets)
        for _ in range(2):  # it died before it had written anything down
            with pytest.raises(Died):
                await it.registry.ask(question())
        it.registry.ledger = living
        answered = await it.registry.ask(question())
        (line,) = await it.lines()
    assert (server.paid["small"], len(server.asked)) == (1, 3)
    assert (answered.account.cost, line["cost"], line["reserved"]) == (SMALL_COST, SMALL_COST, 0)


async def test_a_step_that_asks_again_gets_the_answer_that_was_paid_though_the_provider_knows_no_keys(
    file: Database,
) -> None:
    async with asking_of(file, small=[CALL]) as (it, server):
        first = await it.registry.ask(question(mark="a1b2"))
        again = await it.registry.ask(question(mark="a1b2"))
        await it.registry.ask(question("Is it late now?", mark="a1b2"))
        (line,) = await it.lines()
    assert again.account == first.account
    assert again.response.parts == first.response.parts
    assert len(server.asked) == 2, "another question is none that was answered"
    assert line["cost"] == 2 * SMALL_COST


async def test_the_same_question_of_the_same_customer_is_answered_from_the_cache_whatever_its_run_and_mark(
    file: Database,
) -> None:
    def of(run: str, mark: str) -> Ask:
        text = f"<data {mark}>late?</data {mark}>"
        return question(text, route="kept", key=f"{run}:m", mark=mark, payer=Payer(run, "triage", customer="con_1"))

    async with asking_of(file, small=[Says("<data aaaa> says yes")]) as (it, server):
        first = await it.registry.ask(of("run_1", "aaaa"))
        second = await it.registry.ask(of("run_2", "bbbb"))
        lines = await it.lines()
    assert len(server.asked) == 1
    assert first.response.text == "<data aaaa> says yes"
    assert second.response.text == "<data bbbb> says yes", "the mark of one run is no other's"
    assert (second.account.from_cache, second.account.cost, second.response.usage.total_tokens) == (True, 0, 0)
    assert [(line["run"], line["from_cache"], line["cost"] > 0) for line in lines] == [
        ("run_1", 0, True),
        ("run_2", 1, False),
    ]


@pytest.mark.parametrize(
    "other",
    [
        question(route="kept", key="b", payer=Payer("run_2", "triage", "support", "con_2")),
        question(route="kept", key="b", payer=Payer("run_2", "refund", "support", "con_1")),
        question(route="kept", key="b", sees="public"),
        question(route="kept", key="b", settings={"max_tokens": 400, "temperature": 0.9}),
        question("Is it late, then?", route="kept", key="b"),
        question(route="small", key="b"),
    ],
    ids=["customer", "workflow", "confidentiality", "settings", "question", "route"],
)
async def test_no_answer_is_kept_for_another_question(file: Database, other: Ask) -> None:
    async with asking_of(file, small=[Says("yes")]) as (it, server):
        await it.registry.ask(question(route="kept", key="a"))
        await it.registry.ask(other)
    assert len(server.asked) == 2


@pytest.mark.parametrize("sees", ["confidential", "restricted", "secret", ""])
async def test_not_one_byte_goes_to_a_model_that_may_not_see_it(file: Database, sees: str) -> None:
    async with asking_of(file, small=[Says("yes")], vectors=[Says()]) as (it, server):
        with pytest.raises(NoModelMay, match="`small` may not see"):
            await it.registry.ask(question(route="small", sees=sees))
        with pytest.raises(NoModelMay, match="`vectors` may not see"):
            await it.registry.embed(["a"], Payer("run_1", "triage"), "k", sees)
        assert await it.lines() == []
    assert server.asked == []


async def test_a_model_that_may_is_asked_in_the_place_of_one_that_may_not(file: Database) -> None:
    async with asking_of(file, small=[Says("no")], claude=[Says("yes")]) as (it, server):
        answered = await it.registry.ask(question(sees="confidential"))
    assert (answered.response.text, server.models) == ("yes", ["claude"])


@pytest.mark.parametrize(
    "file_", [BinaryContent(b"\x89PNG", media_type="image/png"), ImageUrl("https://files.example/a.png")]
)
async def test_images_go_to_a_model_that_sees(file: Database, file_: object) -> None:
    async with asking_of(file, small=[Says("no")], claude=[Says("yes")]) as (it, server):
        answered = await it.registry.ask(question("What is this?", file_))
        with pytest.raises(NoModelMay, match="`small` reads no images"):
            await it.registry.ask(question("What is this?", file_, route="small", key="b"))
    assert (answered.account.model, server.models) == ("claude", ["claude"])


async def test_what_is_too_long_for_a_model_goes_to_one_that_takes_it(file: Database) -> None:
    async with asking_of(file, small=[Says("no")], claude=[Says("yes")]) as (it, server):
        answered = await it.registry.ask(question("late? " * 6_000))
        with pytest.raises(NoModelMay, match="`small` takes 8000 tokens"):
            await it.registry.ask(question("late? " * 6_000, route="small", key="b"))
    assert (answered.account.model, server.models) == ("claude", ["claude"])


async def test_vectors_come_in_the_order_of_their_texts_and_are_paid(file: Database) -> None:
    async with asking_of(file, vectors=[Fails(503), Says(tokens=50)]) as (it, server):
        found, account = await it.registry.embed(["a", "bcd"], Payer("run_1", "ask"), "run_1:vectors", "public")
        (line,) = await it.lines()
    assert found == [[1.0, 0.5], [3.0, 0.5]]
    assert (account.cost, line["cost"], line["failed"]) == (50 * 20, 50 * 20, 1)
    assert server.keys() == ["run_1:vectors:vectors"] * 2


async def test_a_stand_in_answers_through_the_same_ledger(file: Database) -> None:
    async with asking(file, register("http://127.0.0.1:9")) as it:
        answered = await it.registry.ask(question(route="rules", sees="restricted"))
        (line,) = await it.lines()
    assert (answered.response.text, line["model"], line["cost"], line["requests"]) == ("rules", "rules", 0, 1)


async def test_a_kept_answer_has_its_calls_as_they_were(file: Database) -> None:
    async with asking_of(file, claude=[CALL]) as (it, _):
        for _ in range(2):
            response: ModelResponse = (await it.registry.ask(question(route="claude"))).response
            (call,) = response.parts
            assert isinstance(call, ToolCallPart)
            assert call.args_as_dict() == {"id": "con_1"}
