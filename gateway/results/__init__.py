"""How a result is presented to a caller: bounded, redacted as policy obliges, inert, with outsiders' text marked.

`presenting.py` is the way of a result; `redacting.py` and `detecting.py` keep secrets and personal data back;
`hidden.py` shows what was meant to be unseen; `defusing.py` takes the life out of links and markup; `bounding.py`
cuts; `marking.py` says where outsiders' text begins and ends; `stage.py` is where a call passes through.

Everything that the gateway itself puts into a text stands between `⟦` and `⟧`, which outsiders' text never contains.
"""
