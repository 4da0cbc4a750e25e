"""The compiled judge and plain Casbin agree on every decision, verdict and rule ids alike.

A normal run compares some hundred generated decisions; `REMIT_DIFFERENTIAL=20000` compares so many.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import pytest

from gateway.policy.casbin_judge import CasbinJudge
from gateway.policy.decision import Verdict
from gateway.policy.language.history import EMPTY, History
from gateway.policy.testing.cases import Case
from tests.policy.generated import ROLES, generated
from tests.policy.making import MODEL, NOW, SHIPPED, policy
from tests.policy.test_shipped_policy import DECISIONS, FLOWS, LATER_DECISIONS, NOTHING_SEEN, principal, shipped

REQUESTS = 8
POLICIES = int(os.environ.get("REMIT_DIFFERENTIAL", "480")) // REQUESTS
# One rule for each role, of a tool that no request calls: a role that no rule speaks of is a mistake.
SPOKEN_OF = "".join(f"p, Z{number}, {role}, knowledge_get_document, , allow, \n" for number, role in enumerate(ROLES))


@pytest.mark.timeout(0 if "REMIT_DIFFERENTIAL" in os.environ else 120)
def test_both_judges_decide_alike_over_generated_policies() -> None:
    seen: Counter[tuple[Verdict, bool]] = Counter()
    failed = 0
    for seed in range(POLICIES):
        made = generated(seed, requests=REQUESTS)
        loaded = policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists)
        judge = CasbinJudge(MODEL, loaded)
        for who, tool, args, now, history, flow in made.requests:
            fast = loaded.decide(who, tool, args, now, history, flow)
            slow = judge.decide(who, tool, args, now, history, flow)
            assert (fast.verdict, fast.rules) == slow, (
                f"seed {seed}: {who} {tool} {args} {now} {history} {flow}\n{made.roles}\n{made.rules}"
            )
            seen[fast.verdict, bool(fast.rules)] += 1
            failed += "could not be evaluated" in fast.reason
    # The generator must keep reaching every kind of answer, or agreement would mean little.
    assert min(seen[verdict, True] for verdict in Verdict) > 20, seen
    assert seen[Verdict.DENY, False] > 20, seen
    assert failed > 10


@pytest.mark.parametrize("part", range(4))
def test_both_judges_decide_alike_over_the_shipped_policy(part: int) -> None:
    judge = CasbinJudge((SHIPPED / "model.conf").read_text(encoding="utf-8"), shipped())
    for who, tool, args, verdict, rules in DECISIONS[part::16]:
        decided = judge.decide(principal(who), tool, args, NOW, EMPTY, NOTHING_SEEN)
        assert decided == (Verdict(verdict), tuple(rules.split())), (who, tool)


@pytest.mark.parametrize(("who", "tool", "args", "now", "history", "verdict", "rules"), LATER_DECISIONS[::3])
def test_both_judges_decide_alike_by_time_and_history(
    who: str, tool: str, args: Mapping[str, object], now: datetime, history: History | None, verdict: str, rules: str
) -> None:
    judge = CasbinJudge((SHIPPED / "model.conf").read_text(encoding="utf-8"), shipped())
    decided = judge.decide(principal(who), tool, args, now, history, NOTHING_SEEN)
    assert decided == (Verdict(verdict), tuple(rules.split()))


def test_casbin_is_imported_by_one_module_only() -> None:
    sources = (SHIPPED.parent / "gateway").rglob("*.py")
    importing = [
        path.name for path in sources if re.search(r"^\s*(import|from) casbin", path.read_text(), re.MULTILINE)
    ]
    assert importing == ["casbin_judge.py"]


@pytest.mark.parametrize("case", FLOWS[::5], ids=lambda case: f"{case.line}")
def test_both_judges_decide_alike_by_data_flow(case: Case) -> None:
    judge = CasbinJudge((SHIPPED / "model.conf").read_text(encoding="utf-8"), shipped())
    fast = shipped().decide(case.principal, case.tool, case.args, case.now, case.history, case.flow)
    slow = judge.decide(case.principal, case.tool, case.args, case.now, case.history, case.flow)
    assert (fast.verdict, fast.rules) == slow
