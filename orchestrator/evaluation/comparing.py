"""Results of evaluations: scores by tag, two of them compared, and whether one is good enough."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pydantic import BaseModel, ConfigDict

RESAMPLES = 2_000
SURE = 0.95


class Scored(BaseModel):
    """How one case went: the scores by grader, what is wrong, and what it took."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: list[str]
    state: str
    scores: dict[str, float]
    wrong: list[str] = []
    taken: dict[str, float] = {}


class Result(BaseModel):
    """An evaluation of a workflow. `labels` name the models and prompts that took part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: str
    version: int
    labels: list[str]
    cases: dict[str, Scored]

    def mean(self, grader: str, tag: str = "") -> float | None:
        """The mean score by a grader over the cases with a tag; None if it graded none."""
        cases = [case for case in self.cases.values() if tag in ("", *case.tags)]
        scores = [case.scores[grader] for case in cases if grader in case.scores]
        return fmean(scores) if scores else None


@dataclass(frozen=True, slots=True)
class Change:
    """By how much a mean score rose, and between what bounds that is true with 95 % certainty."""

    mean: float
    low: float
    high: float

    @property
    def is_loss(self) -> bool:
        """Whether chance does not explain that it fell."""
        return self.high < 0


def interval(differences: Sequence[float], resamples: int = RESAMPLES) -> Change:
    """The mean of paired differences with its bounds by the percentile bootstrap.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13. The drawing is the same every time.
    """
    draw = random.Random(len(differences))  # noqa: S311 - a resampling is no secret
    means = sorted(fmean(draw.choices(differences, k=len(differences))) for _ in range(resamples))
    cut = int(resamples * (1 - SURE) / 2)
    return Change(fmean(differences), means[cut], means[-1 - cut])


def compare(before: Result, after: Result) -> dict[str, Change]:
    """By grader the change over the cases that both graded."""
    pairs: dict[str, list[float]] = {}
    for name in before.cases.keys() & after.cases.keys():
        old, new = before.cases[name].scores, after.cases[name].scores
        for grader in old.keys() & new.keys():
            pairs.setdefault(grader, []).append(new[grader] - old[grader])
    return {grader: interval(sorted(found)) for grader, found in sorted(pairs.items())}


def breaches(result: Result, gate: Mapping[str, float]) -> list[str]:
    """Which thresholds of a gate a result is below, each in words; what nothing was graded for is below too."""
    found = []
    for name, least in gate.items():
        tag, _, grader = name.rpartition("/")
        mean = result.mean(grader, tag)
        if mean is None or mean < least:
            told = "not graded" if mean is None else f"{mean:.3f}"
            found.append(f"`{name}` is {told}, and must be at least {least:g}")
    return found
