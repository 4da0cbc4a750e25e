"""Rules about data flow, and a call that they are about."""

from collections.abc import Mapping
from typing import Any

from connectors.contract import Confidentiality
from gateway.policy.language.flow import Flow, Integrity, Origin
from tests.policy.generated import BY_NAME
from tests.policy.making import team_rules

MAIL: Mapping[str, Any] = {"mailbox": "a@acme.example", "to": ["b@x.example"], "cc": [], "subject": "s", "body": "b"}
SEND = BY_NAME["email_send_message"]
HELD = "run.saw_untrusted and origin(args.to) not in ['request', 'organisation']"
LEAK = "confidentiality(args.body) > audience(args.to)"
MAIL_RULES = team_rules(
    "email_send_message |  | allow | write mail",
    f"email_send_message | {HELD} | ask | the recipient stands in outsiders' text or nowhere",
    f"email_send_message | {LEAK} | deny | this is not for them",
)
OUTSIDER = Flow(
    origins={"to": Origin.OUTSIDER},
    confidentiality={"body": Confidentiality.PUBLIC},
    audience={"to": Confidentiality.PUBLIC},
    integrity=Integrity.ANYONE,
)
