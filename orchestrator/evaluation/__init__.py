"""Sets of cases with what is right in each, and how well a workflow does on them."""
