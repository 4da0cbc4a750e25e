"""Policy folders of tests."""

from pathlib import Path

from gateway.settings import SHIPPED_POLICIES


def policy_folder(folder: Path, **files: str) -> Path:
    """A folder with the shipped model and these files, named without `.csv`; made if absent.

    Args:
        folder: The folder.
        files: The text of each file, such as `rules`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.conf").write_text((SHIPPED_POLICIES / "model.conf").read_text())
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder
