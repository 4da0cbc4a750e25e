"""Upstream servers under the gateway: which of their definitions a person accepted, and what is withheld.

`pins.py` keeps what was accepted; `catalogue.py` makes the catalogue of it, with nobody connected; `watching.py`
compares it with what the servers define now, while the gateway runs; `findings.py` and `comparing.py` are for whoever
reviews.
"""
