"""Where the keys come from that seal credentials: the environment, a file, or the system's keyring."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from gateway.credentials.sealing import Key, Keys
from gateway.settings import Settings

SHORTEST = 32
_KEYRING_NAME = "credentials"


class NoKey(Exception):
    """There is no key that could seal or open anything; says what to do."""


@dataclass(frozen=True)
class KeySource:
    """Gives the keys, anew each time: a file that is changed needs no restart.

    Args:
        read: Gives the text that holds them, separated by blanks or lines; blocks.
        label: Where that is, for messages.
        file: The file, if it is one.
    """

    read: Callable[[], str]
    label: str
    file: Path | None = None

    def keys(self) -> Keys:
        """The keys as they are now; off the event loop.

        Raises:
            NoKey: If there are none.
        """
        try:
            texts = self.read().split()
        except (OSError, ValueError) as error:
            raise NoKey(f"the key of credentials cannot be read from {self.label}: {type(error).__name__}") from None
        if not texts:
            raise NoKey(f"there is no key of credentials in {self.label}")
        if min(map(len, texts)) < SHORTEST:
            raise NoKey(f"a key of credentials in {self.label} has fewer than {SHORTEST} characters")
        return Keys(tuple(map(Key.of, texts)))

    def make(self) -> None:
        """Make a key in the file, if that is where it would be and there is none; for its owner alone."""
        if self.file is None:
            return
        with (
            suppress(FileExistsError),
            os.fdopen(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new,
        ):
            new.write(new_key() + "\n")
            new.flush()
            os.fsync(new.fileno())


def new_key() -> str:
    """A new random key, as it is written down: 256 bits."""
    return token_urlsafe(32)


def key_source(settings: Settings) -> KeySource:
    """Where the settings say that the keys are."""
    if settings.credentials_key is not None:
        return given(settings.credentials_key.get_secret_value())
    if settings.credentials_keyring:
        return in_keyring(settings.credentials_keyring)
    return in_file(settings.credentials_key_file or settings.home / "credentials.key")


def given(text: str) -> KeySource:
    """Keys that the settings hold."""
    return KeySource(lambda: text, "`credentials_key`")


def in_file(path: Path) -> KeySource:
    """Keys in a file."""
    return KeySource(lambda: path.read_text("utf-8"), f"`{path}`", path)


def in_keyring(service: str) -> KeySource:
    """Keys in the system's keyring, under this service and the user `credentials`."""

    def read() -> str:
        try:
            import keyring
            from keyring.errors import KeyringError
        except ImportError:
            raise NoKey("the keyring needs a package that is not installed: install `remit[keyring]`") from None
        try:
            return keyring.get_password(service, _KEYRING_NAME) or ""
        except KeyringError as error:
            raise NoKey(f"the system's keyring cannot be read: {type(error).__name__}") from None

    return KeySource(read, f"the system's keyring under `{service}`")
