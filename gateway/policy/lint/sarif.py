"""Writes problems as SARIF 2.1.0, the form in which code hosts show them in place in a pull request."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.policy.problem import Problem

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(problems: Iterable[Problem], codes: Mapping[str, str], folder: str, version: str) -> dict[str, Any]:
    """One SARIF log (OASIS SARIF 2.1.0) with one run.

    Args:
        problems: What was found.
        codes: Every code that a problem can have, and what it means.
        folder: The policy folder as a URI, relative to the repository's root where possible.
        version: The version of Remit.
    """
    ids = list(codes)
    driver = {
        "name": "remit check",
        "version": version,
        "rules": [{"id": id_, "shortDescription": {"text": meaning}} for id_, meaning in codes.items()],
    }
    results = [
        {
            "ruleId": problem.code,
            "ruleIndex": ids.index(problem.code),
            "level": problem.severity.value,
            "message": {"text": problem.message},
            "locations": [_location(problem, folder)],
        }
        for problem in problems
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _location(problem: Problem, folder: str) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": f"{folder}/{problem.file}"},
            "region": {"startLine": problem.line, "startColumn": problem.column},
        }
    }
