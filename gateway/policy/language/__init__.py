"""The language of conditions: from text to a checked tree to compiled code, and back into words."""
