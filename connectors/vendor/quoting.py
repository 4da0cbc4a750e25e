"""Values within a text that a vendor takes apart, such as a query."""


def in_quotes(value: str, mark: str = '"') -> str:
    """A value in quotes, with a backslash before whatever would end them."""
    escaped = value.replace("\\", "\\\\").replace(mark, f"\\{mark}")
    return f"{mark}{escaped}{mark}"
