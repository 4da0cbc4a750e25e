"""Proofs about a policy: rules as formulas, the solver's examples as calls. Only this package imports z3.

`texts` and `text_classes` say which texts conditions can tell apart, `declared` what a tool's fields promise and
`symbols` what is unknown of a call; `terms` and `translation` turn conditions into formulas; `callers` are the kinds of
people and agents; `world` asks the solver, `examples` turns its answers into calls, and `prove` decides the statements
that `invariants` reads.
"""
