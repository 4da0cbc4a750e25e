"""What a serving gateway does beside the calls."""

from structlog import get_logger

from gateway.call import Gateway
from gateway.journal import JournalUnavailable
from gateway.policy.judge import Policy

log = get_logger("remit.background")


async def keep_policy(gateway: Gateway, every: float) -> None:
    """Put a changed policy in force and decide open questions again under it. Runs until cancelled.

    Args:
        gateway: The gateway.
        every: Seconds between two looks at the policy folder.
    """

    async def decide_again(policy: Policy) -> None:
        try:
            changed = await gateway.approvals.decide_again(policy, gateway.now())
        except JournalUnavailable as error:
            # Whoever answers or repeats such a call has it decided again then.
            log.error("questions_not_decided_again", error=str(error))
        else:
            log.info("questions_decided_again", changed=changed)

    await gateway.policy.watch(every, decide_again)
