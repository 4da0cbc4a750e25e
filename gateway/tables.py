"""The gateway's own tables, all together."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import MetaData

from connectors.embedded.schema import Schema


def _now() -> Sequence[MetaData]:
    from gateway import secret, settled, tokens
    from gateway.activity import recipients
    from gateway.console import sessions
    from gateway.credentials import table as credentials
    from gateway.flow import ledger, unfinished
    from gateway.grants import table
    from gateway.journal import calls, schema
    from gateway.oauth import proofs
    from gateway.sessions import replies
    from gateway.stopping import book

    of_calls = (schema, calls, secret, settled, ledger, unfinished, recipients)
    of_callers = (tokens, table, book, sessions, replies, proofs, credentials)
    return [module.metadata for module in (*of_calls, *of_callers)]


GATEWAY = Schema("gateway", Path(__file__).parent / "migrations", _now)
