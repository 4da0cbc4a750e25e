"""Running `git` on a repository that others write to: nothing that it configures is run, and every wait has an end."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryFile
from threading import Timer
from typing import Final

# What a repository's own configuration could have git run, and where it could have it connect to.
_SETTINGS: Final[Mapping[str, str]] = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.alternateRefsCommand": "false",
    "core.askPass": "",
    "credential.helper": "",
    "http.followRedirects": "false",
    "fetch.fsckObjects": "true",
    "gc.auto": "0",
    "log.showRoot": "true",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "safe.directory": "*",
}
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": os.devnull,
    "LC_ALL": "C",
}
_MOST_SAID = 4_000


class GitFailed(Exception):
    """What git said, in one line; may name addresses, but holds no credential that it was given in `settings`."""


@dataclass(frozen=True)
class Git:
    """Git on one repository.

    Args:
        repository: Its folder: a bare one, or one with a work tree, which is not looked at.
        seconds: How long a command may take.
        settings: Further configuration, kept out of the list of processes: it may hold a credential.
    """

    repository: Path
    seconds: float
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def run(self, arguments: Sequence[str], given: bytes = b"", most: int = 1_000_000) -> bytes:
        """Run a command to its end.

        Args:
            arguments: The command and what it is given.
            given: What it reads.
            most: How many bytes it may write.

        Raises:
            GitFailed: If it fails, takes too long or writes more.
        """
        with TemporaryFile() as asked, TemporaryFile() as said:
            asked.write(given)
            asked.seek(0)
            # Beyond the environment below nothing is inherited: no proxy, no key agent.
            with Popen(  # noqa: S603
                ["git", *arguments],  # noqa: S607
                stdin=asked,
                stdout=PIPE,
                stderr=said,
                env=self._environment(),
                cwd=self.repository,
                start_new_session=True,
            ) as process:
                timer = Timer(self.seconds, _kill, [process])
                timer.start()
                try:
                    written = process.stdout.read(most + 1) if process.stdout else b""
                    if len(written) > most:
                        raise GitFailed(f"`git {arguments[0]}` wrote more than {most:,} bytes")
                    ended = process.wait()
                finally:
                    is_late = not timer.is_alive()
                    timer.cancel()
                    _kill(process)
            if is_late:
                raise GitFailed(f"`git {arguments[0]}` took more than {self.seconds:g} s")
            if ended:
                said.seek(0)
                lines = said.read(_MOST_SAID).decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
                raise GitFailed(f"`git {arguments[0]}`: {lines[-1].removeprefix('fatal: ')}")
            return written

    def _environment(self) -> dict[str, str]:
        settings = [*_SETTINGS.items(), *self.settings.items()]
        numbered = {
            f"GIT_CONFIG_{part}_{number}": value
            for number, pair in enumerate(settings)
            for part, value in zip(("KEY", "VALUE"), pair, strict=True)
        }
        paths = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        # A folder that is no repository must not mean one that it lies in.
        paths["GIT_CEILING_DIRECTORIES"] = str(self.repository.absolute().parent)
        return {**paths, **_ENVIRONMENT, "GIT_CONFIG_COUNT": str(len(settings)), **numbered}


def _kill(process: "Popen[bytes]") -> None:
    """End it and what it started; it leads a group of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
