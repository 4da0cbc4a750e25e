"""OAuth 2.1 resource server: whose tokens are taken, what they must be like, and which person and agent they mean.

`verifying.py` is the way of one token: whose it is, `jwt.py` by the issuer's keys (`keys.py`) or `introspection.py`,
then `mapping.py` from claims to a principal. `guard.py` stands before the MCP endpoint and tells clients where to get a
token (`challenge.py`); `dpop.py` checks that a token bound to a key is shown by whoever has it; `scopes.py` says which
tools a token opens; `exchange.py` gives agents tokens of this gateway (`own.py`) for a person.
`signing_in.py` is a client instead: it signs people in to the console, by ID tokens (`id_token.py`).
"""
