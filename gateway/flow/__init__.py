"""Data-flow control: what a run has seen, who could have written it, and where a call's arguments come from.

`stage.py` has the two stages of a call. Before it is decided: `runs.py` puts together what its run has seen (`run.py`)
from the `ledger.py`, and `arguments.py` traces its arguments (`tracing.py` in the index of `seen.py`) and asks who may
be told what (`audience.py`). After: `reading.py` reads its result piece by piece with labels (`labels.py`),
`written.py` says which records it wrote into, `unfinished.py` what is being written at this moment.
"""
