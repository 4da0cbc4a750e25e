"""Tool schemas tightened to what a principal's rules permit, and words for the rest."""
