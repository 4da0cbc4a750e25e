"""Writes what came of policy tests as JUnit XML, which every CI shows."""

import re
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gateway.policy.explaining.telling import told
from gateway.policy.testing.trials import Report, Trial

_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """One suite for each file and one test case for each policy test."""
    root = Element("testsuites", name="remit test", tests=str(len(report.trials)), failures=str(len(report.failures)))
    for file, trials in groupby(report.trials, key=lambda trial: trial.case.file):
        of_file = list(trials)
        failures = sum(not trial.passed for trial in of_file)
        suite = SubElement(root, "testsuite", name=file, tests=str(len(of_file)), failures=str(failures))
        for trial in of_file:
            _add(suite, trial)
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add(suite: Element, trial: Trial) -> None:
    case = trial.case
    found = SubElement(
        suite, "testcase", classname=case.file, name=_clean(case.name), file=case.file, line=str(case.line)
    )
    if not trial.passed:
        message = f"expected {trial.expected}, got {trial.actual}"
        SubElement(found, "failure", message=message).text = _clean(
            told(trial.explanation) if trial.explanation else message
        )


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
