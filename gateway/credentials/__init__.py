"""Credentials for the systems behind back ends: sealed in the database, opened for one call, renewed ahead of time.

`kinds.py` says what there is, `keys.py` and `sealing.py` how it is sealed, `table.py` where it is kept. `book.py` is
for whoever sets and removes them, on the record; `serving.py` for back ends, which ask anew for each call, and
`renewing.py` gets new tokens of OAuth (`endpoint.py`). `gateway/doctor/credentials.py` says what is wrong with them.
"""
