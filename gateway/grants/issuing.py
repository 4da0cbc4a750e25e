"""Who may issue a grant for whom."""

from gateway.principal import Principal


def may_issue(issuer: Principal, principal: Principal) -> bool:
    """Whether who holds an issuing token may issue for a caller, and take it back.

    For itself; a person also for agents that act for this person: the words of the task are theirs.

    Args:
        issuer: Whom the token names.
        principal: Whom the grant would be good for.
    """
    if issuer == principal:
        return True
    is_person = issuer.person is not None and issuer.agent is None
    return is_person and (issuer.tenant, issuer.person) == (principal.tenant, principal.person)
