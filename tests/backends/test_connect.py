"""An administrator connects a real system: it is tried, written down, and found well by `remit doctor`."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from connectors.declared import read_declared
from tests.backends.required import required
from tests.backends.systems.mail import PASSWORD, is_installed, mail_system
from tests.backends.systems.request_tracker import serving_request_tracker
from tests.processes import clean, remit, warm_remit

pytestmark = pytest.mark.process
SUPPORT = "support@larkspur.example"


def test_a_mail_system_is_connected_when_its_login_is_good(tmp_path: Path) -> None:
    required(is_installed(), "a mail system")
    home, owner = str(tmp_path), ("--as", "person:rosa", "--home", str(tmp_path))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, mail_system(Path(folder)) as system:
        said = {
            "imap": f"imaps://127.0.0.1:{system.ports.imaps}",
            "smtp": f"smtps://127.0.0.1:{system.ports.submissions}",
            "ca": str(system.ca),
            "inside": "true",
            "mailboxes": f'[{{address = "{SUPPORT}"}}]',
        }
        connect = ["connect", "imap_smtp", "--home", home]
        connect += [part for name, value in said.items() for part in ("--set", f"{name}={value}")]
        set_it = [warm_remit(), "credentials", "set", "imap_smtp", "--kind", "password", "--user", SUPPORT, *owner]

        subprocess.run(set_it, input="not-the-password", text=True, check=True, capture_output=True, env=clean())
        refused = remit(*connect, check=False)
        assert refused.returncode != 0
        assert "nothing was written" in " ".join(refused.stderr.replace("│", " ").split())
        assert not (tmp_path / "back_ends.toml").exists()

        subprocess.run(set_it, input=PASSWORD, text=True, check=True, capture_output=True, env=clean())
        told = remit(*connect).stdout
        assert f"`{SUPPORT}`" in told
        assert "imap_smtp serves the email tools of larkspur" in told
        [declared] = read_declared(tmp_path / "back_ends.toml")
        assert (declared.tenant, declared.kind, declared.inside) == ("larkspur", "imap_smtp", True)

        looked = remit("doctor", "--home", home, check=False).stdout
        assert "imap_smtp of larkspur" in looked
        assert SUPPORT in looked
    gone = remit("doctor", "--home", home, check=False).stdout.splitlines()
    # Its credential is well, and the system is not.
    assert [line.split()[0] for line in gone if "imap_smtp of larkspur" in line] == ["ok", "wrong"]


def test_a_queue_of_request_tracker_is_connected_when_its_custom_fields_are_there(tmp_path: Path) -> None:
    home = str(tmp_path)
    with serving_request_tracker() as server:
        set_it = [warm_remit(), "credentials", "set", "request_tracker", "--as", "person:rosa", "--home", home]
        token = server.tokens["remit"]
        subprocess.run(set_it, input=token, text=True, check=True, capture_output=True, env=clean())
        connect = ["connect", "request_tracker", "--home", home, "--set", f"url={server.url}", "--set", "inside=true"]
        connect += ["--set", "queue=Support"]
        refused = remit(*connect, "--set", 'fields={tags = "Labels"}', check=False)
        assert "have no custom field `Labels`" in " ".join(refused.stderr.replace("│", " ").split())
        assert not (tmp_path / "back_ends.toml").exists()

        told = remit(*connect, "--set", 'fields={tags = "Tags"}').stdout
        assert "the queue `Support` and its custom fields are there" in " ".join(told.split())
        [declared] = read_declared(tmp_path / "back_ends.toml")
        assert (declared.tenant, declared.kind) == ("larkspur", "request_tracker")
