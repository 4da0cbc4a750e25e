"""A tenant's own documents behind the gateway: who may read them follows from policy's roles and the folder's rules."""

from pathlib import Path

from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway
from tests.policies import policy_folder

ROLES = """\
g, person:ana@larkspur.example, role:agent, larkspur
g, person:max@larkspur.example, role:board, larkspur
g, role:board, role:agent, larkspur
g, person:zoe@other.example, role:board, other
g, agent:triage, role:agent, larkspur
"""
RULES = "p, A1, role:agent, knowledge_*, , allow, read\np, A2, role:board, knowledge_*, , allow, read\n"
READERS = """\
[[rules]]
paths = ["/board/"]
readers = ["board"]

[[rules]]
paths = ["/letters/"]
readers = ["agent"]
origin = "external"

[[rules]]
paths = ["*"]
readers = ["everyone"]
"""


def prepare(home: Path, policies: Path, folder: Path) -> None:
    policy_folder(policies, roles=ROLES, rules=RULES)
    for name in ("board/plan.md", "letters/asks.md", "news.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("merger")
    (folder / "readers.toml").write_text(READERS)
    home.mkdir()
    (home / "back_ends.toml").write_text(f'[[back_end]]\ntenant = "larkspur"\nkind = "folder"\npath = "{folder}"\n')


async def sources(gateway: Gateway, who: Principal) -> tuple[set[str], list[str]]:
    """Where the documents lie that a principal finds, and what of the answer outsiders wrote."""
    call = ToolCall(who, "knowledge_search_documents", {"query": "merger", "limit": 50}, Declared())
    answer = await call_tool(gateway, call)
    assert answer.status == "ok", answer
    return {passage["source"] for passage in answer.model_dump()["result"]["passages"]}, answer.untrusted or []


async def test_a_folder_serves_a_tenant_by_the_roles_of_person_and_agent(
    opened: OpenGateway, home: Path, policies: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "handbook"
    prepare(home, policies, folder)
    ana, maximilian = (Principal("larkspur", person=f"{name}@larkspur.example") for name in ("ana", "max"))
    agent_for_max = Principal("larkspur", person="max@larkspur.example", agent="triage")
    async with opened() as gateway:
        assert (await sources(gateway, maximilian))[0] == {"board/plan.md", "letters/asks.md", "news.md"}
        found, untrusted = await sources(gateway, ana)
        assert found == {"letters/asks.md", "news.md"}
        assert any("source" in path for path in untrusted)
        assert (await sources(gateway, agent_for_max))[0] == {"letters/asks.md", "news.md"}
        assert (await sources(gateway, Principal("other", person="zoe@other.example")))[0] == set()
        (folder / "letters/asks.md").unlink()
        assert (await sources(gateway, ana))[0] == {"news.md"}
