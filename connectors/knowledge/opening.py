"""Opening files in a folder into which others put what they like: no link is followed, and nothing is waited for."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def opened(name: str | Path, flags: int = 0, folder: int | None = None) -> Iterator[int]:
    """A descriptor to read from.

    Args:
        name: In `folder`, and then never of what a link leads to; without `folder` any path that an operator gave.
        flags: As of `os.open`.
        folder: A descriptor.
    """
    following = 0 if folder is None else os.O_NOFOLLOW
    # Opening a pipe would wait for whoever writes into it.
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | following | flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def descended(root: int, path: str) -> Iterator[int]:
    """A descriptor of a file below a folder, with no link on the way."""
    first, _, rest = path.partition("/")
    with opened(first, os.O_DIRECTORY if rest else 0, root) as found:
        if rest:
            with descended(found, rest) as file:
                yield file
        else:
            yield found


def contents(file: int, most: int) -> bytes:
    """What is in a file, and one byte more than `most` if there is more.

    Raises:
        OSError: If it is no file or cannot be read.
    """
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError("not a file")
    with open(file, "rb", closefd=False) as readable:
        return readable.read(most + 1)
