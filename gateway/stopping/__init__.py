"""The kill switch: what somebody has stopped, in force in every process within a second, until it is resumed.

`stop.py` says what a stop is and whom it concerns; `book.py` keeps the stops and records them; `in_force.py` holds
them beside the calls and `refusing.py` refuses by them.
"""
