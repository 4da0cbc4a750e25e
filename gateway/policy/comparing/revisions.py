"""Reads a policy as it stands in a folder, or as it stood in a git revision of that folder."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.policy.files.lines import read_text
from gateway.policy.load import read_texts
from gateway.policy.problem import Problem

_SECONDS = 30


class NoSuchPolicy(Exception):
    """There is neither a folder nor a git revision of that name, or the revision has no such folder."""


def texts_at(source: str, folder: Path, problems: list[Problem], extra: tuple[str, ...] = ()) -> dict[str, str]:
    """The texts of a policy's files.

    Args:
        source: A folder, or a git revision such as `main`, `HEAD~1` or `v1.2`; a folder of that name comes first.
        folder: The policy folder inside the work tree, whose revision is meant.
        problems: Where files that cannot be read are noted.
        extra: Further files that are wanted if they are there.

    Raises:
        NoSuchPolicy: Says what was looked for.
    """
    if Path(source).is_dir():
        return _read(Path(source), problems, extra)
    revision = _revision(source, folder)
    names = _git(folder, "ls-tree", "--name-only", "-z", revision, "./").decode().split("\0")
    if not any(names):
        raise NoSuchPolicy(f"revision `{source}` has no folder `{folder}`")
    with TemporaryDirectory() as made:
        for name in (name for name in names if name.endswith((".csv", ".conf")) and "/" not in name):
            (Path(made) / name).write_bytes(_git(folder, "cat-file", "blob", f"{revision}:./{name}"))
        return _read(Path(made), problems, extra)


def _read(folder: Path, problems: list[Problem], extra: tuple[str, ...]) -> dict[str, str]:
    more = {name: read_text(folder / name, problems) for name in extra if (folder / name).exists()}
    return read_texts(folder, problems) | more


def _revision(source: str, folder: Path) -> str:
    if not folder.is_dir():
        raise NoSuchPolicy(
            f"`{source}` is no folder, and to look it up as a git revision the folder `{folder}` is needed"
        )
    try:
        found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{source}^{{commit}}")
    except NoSuchPolicy:
        raise NoSuchPolicy(f"`{source}` is neither a folder nor a git revision of `{folder}`") from None
    return found.decode().strip()


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words; what the user wrote stands behind --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git as the user has it
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise NoSuchPolicy("git is not installed: compare two folders instead") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip().partition("\n")[0]
        raise NoSuchPolicy(f"git cannot read `{folder}`: {said or 'no reason given'}") from None
    return done.stdout
