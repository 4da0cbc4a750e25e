"""`remit connect`: what is wrong is told, and nothing is written unless the system answers."""

from pathlib import Path

import pytest

from tests.processes import remit

URLS = ("--set", "imap=imap://127.0.0.1:1", "--set", "smtp=smtp://127.0.0.1:1", "--set", "inside=true")
BOXES = ("--set", 'mailboxes=[{address = "support@larkspur.example"}]')

pytestmark = pytest.mark.process


def connect(home: Path, *arguments: str) -> tuple[int, str]:
    done = remit("connect", *arguments, "--home", str(home), check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_without_a_kind_all_are_listed(tmp_path: Path) -> None:
    status, told = connect(tmp_path)
    assert status == 0
    assert "imap_smtp" in told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("imap_smpt",), "`imap_smpt` is no kind of system — did you mean `imap_smtp`?"),
        (("imap_smtp",), "`mailboxes`: field required"),
        (("imap_smtp", "--set", "imap"), "`imap` is not NAME=VALUE"),
        (("imap_smtp", *URLS, *BOXES, "--set", "mailboxen=1"), "`mailboxen`: unknown — did you mean `mailboxes`?"),
        (("imap_smtp", *URLS, *BOXES, "--consent"), "has nobody consent"),
        (("imap_smtp", *URLS, *BOXES), "no credential"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    status, told = connect(tmp_path, *arguments)
    assert status != 0
    assert expected in told
    assert not list(tmp_path.glob("back_ends*"))


def test_a_second_back_end_for_one_area_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "back_ends.toml"
    file.write_text(
        '[[back_end]]\ntenant = "larkspur"\nkind = "imap_smtp"\nimap = "imap://127.0.0.1:1"\n'
        'smtp = "smtp://127.0.0.1:1"\nmailboxes = [{ address = "support@larkspur.example" }]\n'
    )
    before = file.read_text()
    status, told = connect(tmp_path, "imap_smtp", *URLS, *BOXES)
    assert status != 0
    assert "imap_smtp serves the email tools of larkspur already" in told
    assert file.read_text() == before
