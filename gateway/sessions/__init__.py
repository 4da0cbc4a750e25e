"""Sessions of MCP clients up to 2025-11-25 that any process may go on with.

From 2026-07-28 on there are none: each request says all that it needs. An earlier client opens a session with
`initialize`, and behind a load balancer its next request may reach another process (MCP 2025-11-25, basic/transports,
"Session Management"). So a session's id holds, sealed, what the client said when it opened it; and what a client
replies to a process that did not ask is left where the one that asked finds it.
"""
