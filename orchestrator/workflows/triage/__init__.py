"""Support triage and reply: what a customer wants, who they are, what the documents say, and an answer prepared."""

from orchestrator.workflows.triage.workflow import triage

__all__ = ["triage"]
