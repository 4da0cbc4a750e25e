"""Grants: signed, expiring narrowings of what one task may do, from a person's own words, before a model sees anything.

`grant.py` says what one is, `token.py` how it travels, `table.py` where its terms are kept, `book.py` how it is issued,
verified and taken back, `bounds.py` what it lets through, `presented.py` its stage in a call, `listing.py` what a list
of tools shows under it, `endpoint.py` its HTTP form.
"""
