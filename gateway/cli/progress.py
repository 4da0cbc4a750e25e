"""Progress of long work, on standard error, so that a report on standard output can be piped."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def progress_bar(what: str, *, passing: bool = False) -> Progress:
    """A bar that counts.

    Args:
        what: What is done; `{task.description}` in it stands for the task.
        passing: Whether it goes away when done, and is not there at all without a terminal.
    """
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=passing, disable=passing and not console.is_terminal)
