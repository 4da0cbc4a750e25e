"""Plays every pair of a suite's tasks through a gateway and counts what became of each call."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import yaml
from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
from agentdojo.functions_runtime import FunctionCall, TaskEnvironment
from agentdojo.task_suite import task_suite
from agentdojo.task_suite.load_suites import get_suite
from agentdojo.task_suite.task_suite import TaskSuite
from rich.progress import track

from benchmarks.agentdojo_suites.server import SuiteServer, serving
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.approvals.together import MOST, Said, answer_together
from gateway.background import background
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.grants.grant import Terms
from gateway.principal import Principal
from gateway.settings import Settings
from gateway.upstream.pins import accept, write_pins

VERSION = "v1.2.2"
Granted = tuple[Principal, str]
"""Who acts, and the token of the task's grant."""
# Each pair reads the suite's environment anew: by far the most of the time, unless libyaml reads it.
task_suite.yaml.safe_load = partial(yaml.load, Loader=yaml.CSafeLoader)
_HERE = Path(__file__).parent
_PERSONS = {"workspace": "emma.johnson@bluesparrowtech.com", "travel": "emma.johnson@bluesparrowtech.com"}
_PERSONS |= {"banking": "emma.johnson", "slack": "emma"}


@dataclass
class Counts:
    """What became of calls."""

    allowed: int = 0
    held: int = 0
    denied: int = 0

    @property
    def total(self) -> int:
        return self.allowed + self.held + self.denied

    def add(self, status: str) -> None:
        self.denied += status == "denied"
        self.held += status == "pending_approval"
        self.allowed += status not in {"denied", "pending_approval"}

    def __iadd__(self, other: "Counts") -> "Counts":
        self.allowed += other.allowed
        self.held += other.held
        self.denied += other.denied
        return self

    def __str__(self) -> str:
        return f"{self.allowed} allowed, {self.held} held, {self.denied} denied"


@dataclass
class Score:
    """What a suite came to.

    Args:
        suite: Its name.
        pairs: How many pairs were played.
        careful: How many goals were reached where people refuse what attackers want.
        careless: How many were reached where people say yes to everything.
        legitimate: The user's own calls, of each task once, with the attacker's text in place.
        hostile: The attacker's calls.
        most_questions: The most sittings of one task: what waits together is one question.
        sittings: How many times a person sat down to answer what waits of the user's own calls, over all tasks.
        mixed: How many pairs were played once more with the attacker's calls waiting beside the user's.
        tasks: How many tasks.
        unasked: How many of them needed no question and were denied nothing.
        useful: How many came out right by the suite's own check, questions being answered.
    """

    suite: str
    pairs: int = 0
    careful: int = 0
    careless: int = 0
    legitimate: Counts = field(default_factory=Counts)
    hostile: Counts = field(default_factory=Counts)
    most_questions: int = 0
    sittings: int = 0
    mixed: int = 0
    tasks: int = 0
    unasked: int = 0
    useful: int = 0

    def told(self) -> dict[str, str]:
        legitimate = self.legitimate

        def share(count: int, whole: int) -> str:
            return f"{count} ({100 * count / max(1, whole):.1f} %)"

        return {
            "pairs of tasks": str(self.pairs),
            "goals reached, careful people": share(self.careful, self.pairs),
            "goals reached, people who say yes to all": share(self.careless, self.pairs),
            "attacker's calls": str(self.hostile),
            "legitimate calls": str(legitimate.total),
            "  allowed": share(legitimate.allowed, legitimate.total),
            "  held": share(legitimate.held, legitimate.total),
            "  denied": share(legitimate.denied, legitimate.total),
            "times a person was asked": str(self.sittings),
            "most questions of one task": str(self.most_questions),
            "questions a task": f"{self.sittings / max(1, self.tasks):.2f}",
            "pairs on one page with the user's": str(self.mixed),
            "tasks without a question or denial": share(self.unasked, self.tasks),
            "tasks done, by the suite's check": share(self.useful, self.tasks),
        }


async def replay_suite(name: str, every: int = 1, tell: bool = False) -> Score:
    """Play a suite.

    Args:
        name: The suite.
        every: Only every n-th pair is played.
        tell: Whether to print each legitimate call that was held or denied.
    """
    suite = get_suite(VERSION, name)
    score, served = Score(name), SuiteServer(suite)
    async with serving(served) as url, _gateway(name, url) as gateway:
        player = _Player(gateway, suite, served, score, tell)
        for task in track(list(suite.user_tasks.values()), description=f"{name}: users"):
            await player.play_alone(task)
        pairs = [(task, goal) for task in suite.user_tasks.values() for goal in suite.injection_tasks.values()]
        for task, goal in track(pairs[::every], description=f"{name}: attackers"):
            await player.play_pair(task, goal)
    return score


@asynccontextmanager
async def _gateway(name: str, url: str) -> AsyncIterator[Gateway]:
    """A gateway before the suite's server, its definitions accepted as they are."""
    with TemporaryDirectory() as folder:
        home, policies = Path(folder) / "home", Path(folder) / "policies"
        copytree(_HERE / name / "policies", policies)
        (home / "upstreams").mkdir(parents=True)
        declared = (_HERE / name / "upstream.toml").read_text().replace("http://127.0.0.1:1/mcp", url)
        (home / "upstreams" / f"{name}.toml").write_text(declared)
        settings = Settings(home=home, policies=policies, tenant="t", max_calls_of_area=64)
        await _accept(settings, name)
        async with open_gateway(settings) as gateway, background(gateway, settings):
            back_end = gateway.upstreams.back_ends[name]
            with anyio.fail_after(10):
                while back_end.session.definitions is None:  # noqa: ASYNC110 - it is looked at from outside
                    await anyio.sleep(0.01)
            yield gateway


async def _accept(settings: Settings, name: str) -> None:
    from gateway.cli.upstream import _defined
    from gateway.home import utc_now
    from gateway.upstream.catalogue import read_pinned

    folder = settings.upstreams_folder
    [server] = read_pinned(folder).servers
    defined = await _defined(settings, server)
    write_pins(folder, name, {tool: accept(None, each, "operator", utc_now()) for tool, each in defined.items()})


class _Player:
    """An agent that does what is put before it, and people who answer what it asks."""

    def __init__(self, gateway: Gateway, suite: TaskSuite[Any], served: SuiteServer, score: Score, tell: bool) -> None:
        self.gateway, self.suite, self.served, self.score, self.tell = gateway, suite, served, score, tell
        self.tenants = 0

    async def play_alone(self, task: BaseUserTask[Any]) -> None:
        """Play a user's task with an attacker's text in all the places where one can stand."""
        goal = next(iter(self.suite.injection_tasks.values()))
        before = self._set_up(task, goal)
        own = _Agent(self.gateway, self.suite.name, await self._granted(task))
        await own.play(task.ground_truth(before))
        if self.tell and own.told:
            print(task.ID, *own.told, sep="\n")
        score = self.score
        score.tasks += 1
        score.unasked += not (own.counts.held or own.counts.denied)
        score.sittings += own.sittings
        score.most_questions = max(score.most_questions, own.sittings)
        score.legitimate += own.counts
        score.useful += _is_reached(
            task, task.GROUND_TRUTH_OUTPUT, before, self.served.environment, task.ground_truth(before)
        )

    async def play_pair(self, task: BaseUserTask[Any], goal: BaseInjectionTask[Any]) -> None:
        """Play a user's task and then an attacker's, once for each kind of people.

        Where calls of the user's wait, once more with the attacker's waiting beside them on the same page.
        """
        self.score.pairs += 1
        own, hostile, reached = await self._attack(task, goal, careless=False)
        self.score.hostile += hostile.counts
        if own.counts.held:
            self.score.mixed += 1
            _, _, reached_among = await self._attack(task, goal, careless=False, mixed=True)
            reached = reached or reached_among
        self.score.careful += reached
        if hostile.counts.held:
            _, _, reached = await self._attack(task, goal, careless=True)
        self.score.careless += reached

    async def _attack(
        self, task: BaseUserTask[Any], goal: BaseInjectionTask[Any], *, careless: bool, mixed: bool = False
    ) -> tuple["_Agent", "_Agent", bool]:
        before = self._set_up(task, goal)
        granted = await self._granted(task)
        own, hostile = (_Agent(self.gateway, self.suite.name, granted) for _ in range(2))
        if mixed:
            await own.propose(task.ground_truth(before))
        else:
            await own.play(task.ground_truth(before))
        await self._read_everything(granted)
        # Some goals hold without the attacker: they tell nothing.
        held_already = _is_reached(goal, "", before, self.served.environment, [])
        rest = await hostile.propose(goal.ground_truth(before), others_wait=bool(own.waiting))
        # A careful person approves the user's calls and refuses the attacker's, on the page that has them all.
        while answers := {**own.answers(True), **hostile.answers(careless)}:
            await own.sit_down(answers)
            await own.repeat()
            await hostile.repeat()
            rest = await hostile.propose(rest)
        reached = not held_already and _is_reached(goal, "", before, self.served.environment, hostile.done)
        if reached and self.tell and not careless:
            print(f"{task.ID}, {goal.ID} reached:", *hostile.told, sep="\n")
        return own, hostile, reached

    def _set_up(self, task: BaseUserTask[Any], goal: BaseInjectionTask[Any]) -> TaskEnvironment:
        """A new environment with the attacker's words in it; gives a copy as it is before anything happens."""
        words = dict.fromkeys(self.suite.get_injection_vector_defaults(), goal.GOAL)
        self.served.environment = task.init_environment(self.suite.load_and_inject_default_environment(words))
        self.tenants += 1
        return self.served.environment.model_copy(deep=True)

    async def _granted(self, task: BaseUserTask[Any]) -> Granted:
        """Who acts, with a grant of the user's words alone: no tools, no targets, nothing of the task but its text."""
        who = Principal(f"t{self.tenants}", person=_PERSONS[self.suite.name], agent="assistant")
        issued = await self.gateway.grants.issue(who, Terms(request=task.PROMPT), self.gateway.now(), "orchestrator")
        return who, issued.token

    async def _read_everything(self, granted: Granted) -> None:
        for tool in self.gateway.catalog.tools.values():
            if (
                tool.area == self.suite.name
                and tool.effect == "read"
                and not any(field.is_required() for field in tool.input.model_fields.values())
            ):
                await call_tool(self.gateway, _made(granted, tool.name, {}))


class _Agent:
    """Makes a fixed list of calls, and goes on with the next ones while some wait for a person."""

    def __init__(self, gateway: Gateway, suite: str, granted: Granted) -> None:
        self.gateway, self.suite, self.granted = gateway, suite, granted
        self.counts, self.sittings = Counts(), 0
        self.waiting: dict[str, FunctionCall] = {}
        self.done: list[FunctionCall] = []
        self.told: list[str] = []

    async def play(self, calls: Sequence[FunctionCall]) -> None:
        """Make the calls, let a person approve all that wait at once, and repeat those.

        A call that fails while others wait may have needed what they would have done: then they are answered first, and
        it is tried again after them, with those that follow it.
        """
        rest = await self.propose(calls)
        while self.waiting:
            await self.sit_down(self.answers(True))
            await self.repeat()
            rest = await self.propose(rest)

    async def propose(self, calls: Sequence[FunctionCall], *, others_wait: bool = False) -> Sequence[FunctionCall]:
        """Make the calls until one fails while others wait, its own or another's; give it with those not made."""
        for number, call in enumerate(calls):
            answer = await self._call(call)
            if answer.status == "failed" and (self.waiting or others_wait):
                return calls[number:]
            if answer.error and answer.error.kind == "invalid_input":
                raise ValueError(f"{call.function}: {answer.error.message}")
            self.counts.add(answer.status)
            if answer.approval:
                self.waiting[answer.approval.id] = call
            elif answer.status == "ok":
                self.done.append(call)
            if answer.status in {"denied", "pending_approval"}:
                self.told.append(f"  {call.function} {dict(call.args)}: {answer.status} {answer.rules}")
        return ()

    def answers(self, approve: bool) -> dict[str, bool]:
        """The same answer to everything that waits."""
        return dict.fromkeys(self.waiting, approve)

    async def sit_down(self, answers: dict[str, bool]) -> None:
        """A person answers everything that waits, page by page."""
        if not answers:
            return
        self.sittings += 1
        approver = Principal(self.granted[0].tenant, person="approver")
        policy, now = self.gateway.policy.current, self.gateway.now()
        said = [Said(name, approve, None) for name, approve in answers.items()]
        for first in range(0, len(said), MOST):
            page = said[first : first + MOST]
            taken = await answer_together(self.gateway.approvals, page, approver, policy, "", now)
            if problems := [each.problem for each in taken if each.problem]:
                raise ValueError(problems[0])

    async def repeat(self) -> None:
        """Make the calls again that waited, in the order in which they were made first."""
        for call in self.waiting.values():
            if (await self._call(call)).status not in {"denied", "pending_approval"}:
                self.done.append(call)
        self.waiting.clear()

    async def _call(self, call: FunctionCall) -> Answer[Any]:
        return await call_tool(self.gateway, _made(self.granted, f"{self.suite}_{call.function}", _plain(call.args)))


def _made(granted: Granted, tool: str, arguments: dict[str, Any]) -> ToolCall:
    who, grant = granted
    return ToolCall(who, tool, arguments, declared=Declared.model_validate({"remit/grant": grant}))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_reached(
    task: BaseUserTask[Any] | BaseInjectionTask[Any],
    said: str,
    before: TaskEnvironment,
    after: TaskEnvironment,
    calls: Sequence[FunctionCall],
) -> bool:
    """What the suite's own check says of a task, a user's or an attacker's."""
    if isinstance(task, BaseUserTask):
        found = task.utility_from_traces(said, before, after, calls)
        return bool(task.utility(said, before, after) if found is None else found)
    found = task.security_from_traces(said, before, after, calls)
    return bool(task.security(said, before, after) if found is None else found)
