"""The policy stage. `load.py` reads a folder into an immutable `Policy` (`judge.py`), which decides (`decision.py`)."""
