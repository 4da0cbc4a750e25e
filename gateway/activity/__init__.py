"""Unusual activity, as facts for policy: bursts, repeated denials, many records, recipients never written to before.

`tally.py` counts what a principal did, `activity.py` keeps the tallies up with the journal, `recipients.py` remembers
to whom was written. Nothing is read for a call whose rules do not ask.
"""
