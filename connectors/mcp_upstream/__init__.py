"""Fronts other MCP servers: their tools become tools like any other, with the same policy, journal and approval.

`declaration.py` reads what an operator says of a server; `definition.py` is what the server says of a tool, which a
person accepts; `tools.py` makes a tool of both; `back_end.py` calls it over `session.py`. What a server sends is never
trusted: `client.py` alone speaks the protocol, `results.py` takes an answer apart.
"""
