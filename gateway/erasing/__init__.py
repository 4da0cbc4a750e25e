"""Erasing personal data from the journal without breaking its chain: by destroying the keys of entries.

Which entries are meant is found in `mentions.py` (somebody asks) and `retention.py` (policy's time is up);
`open_calls.py` says which of their calls may not be touched yet. `erasure.py` records what is erased and by whom, and
then destroys it: what was recorded and not carried out is carried out at the next start. Nothing brings it back.
`keeping.py` does that beside the calls.
"""
