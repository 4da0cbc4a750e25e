"""Data-flow control: what a run has seen, who could have written it, and where a call's arguments come from.

`shown.py` says what a result shows; `labels.py` what is known about a piece of data; `seen.py` keeps
what a run has seen, and `tracing.py` finds in it where a value or a text comes from.
"""
