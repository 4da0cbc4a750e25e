"""Limits: what `limits.csv` says is counted where calls are begun, and requests before anything is known of them.

`using.py` says what a call uses up, in the journal's own terms (`gateway/journal/uses.py`); `kept.py` looks it up;
`refusing.py` answers; `flood.py` and `requests.py` count HTTP requests in each process.
"""
