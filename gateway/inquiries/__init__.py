"""Inquiries: what an upstream server asks, in the course of a call, of the client that made it.

`stage.py` stops such a call and records what is asked, `going_on.py` goes on with it once, `rounds.py` talks to the
client. An answer is a value that leaves for the server; whatever it says, it never approves anything here.
"""
