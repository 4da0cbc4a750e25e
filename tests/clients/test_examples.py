"""The examples of the documents run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import make_token, serving

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_the_example_client_lists_tools_and_searches_tickets(tmp_path: Path) -> None:
    token = make_token(tmp_path, "--agent", "triage", "--person", "ana.ruiz@larkspur.example")
    with serving(tmp_path) as served:
        command = [sys.executable, str(EXAMPLES / "call_a_tool.py"), served.mcp]
        environment = {**os.environ, "REMIT_TOKEN": token}
        shown = subprocess.run(command, text=True, capture_output=True, check=True, timeout=60, env=environment).stdout
    assert "ticket_get_ticket\n" in shown
    assert '"status": "ok"' in shown
