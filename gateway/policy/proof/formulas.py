"""Formulas of the solver, and what joins them."""

from typing import Any, TypeAlias

import z3

Formula: TypeAlias = Any
"""A term of z3, which is untyped."""

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)


def all_of(*formulas: Formula) -> Formula:
    """The conjunction. What is known drops out here: handing it to the solver costs more than the whole proof."""
    kept = [formula for formula in formulas if formula is not TRUE]
    if any(formula is FALSE for formula in kept):
        return FALSE
    return TRUE if not kept else kept[0] if len(kept) == 1 else z3.And(kept)


def any_of(*formulas: Formula) -> Formula:
    """The disjunction, as `all_of`."""
    kept = [formula for formula in formulas if formula is not FALSE]
    if any(formula is TRUE for formula in kept):
        return TRUE
    return FALSE if not kept else kept[0] if len(kept) == 1 else z3.Or(kept)


def negated(formula: Formula) -> Formula:
    """The negation, as `all_of`."""
    return FALSE if formula is TRUE else TRUE if formula is FALSE else z3.Not(formula)


def truth_value(value: bool) -> Formula:
    """What is known, as a formula."""
    return TRUE if value else FALSE
