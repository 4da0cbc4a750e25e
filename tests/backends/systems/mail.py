"""A mail system for tests: Dovecot (IMAP, LMTP) and Postfix (submission), private ones, on loopback, with TLS."""

import os
import shutil
import smtplib
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.processes import free_port

PASSWORD = "correct-horse-battery"
CUSTOMER = "jo@customer.example"
TOKEN_KEY = b"a key that signs the tokens of an issuer in tests"
DOMAINS = ("larkspur.example", "customer.example", "other.example")
_PATIENCE_SECONDS = 20
_DOVECOT, _POSTFIX = "/usr/sbin/dovecot", "/usr/sbin/postfix"


def is_installed() -> bool:
    """Whether this machine can run it: both are there, and started by root, as their own users must be taken on."""
    return Path(_DOVECOT).exists() and Path(_POSTFIX).exists() and os.geteuid() == 0


@dataclass(frozen=True)
class Ports:
    imap: int
    imaps: int
    lmtp: int
    auth: int
    submission: int
    submissions: int


@dataclass(frozen=True)
class MailSystem:
    """A running mail system. Every address has a mailbox, all with one password; nobody is called `nobody…`.

    Args:
        folder: Where all of it is.
        ports: Where it listens.
    """

    folder: Path
    ports: Ports

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def maildir(self, address: str, folder: str = "") -> Path:
        """Where the messages of a folder are, by default of the inbox."""
        name, _, domain = address.partition("@")
        return self.folder / "mail" / domain / name / (f".{folder}" if folder else "")

    def put(self, address: str, messages: Sequence[tuple[bytes, bool]], folder: str = "") -> None:
        """Put messages, each with whether it is unread, into a folder the fastest way there is, as files."""
        maildir = self.maildir(address, folder)
        for path in [maildir.parent.parent, *(maildir / name for name in ("", "cur", "new", "tmp"))]:
            path.mkdir(parents=True, exist_ok=True)
        already = len(list((maildir / "cur").iterdir()))
        for number, (raw, is_unread) in enumerate(messages, already):
            # Dovecot numbers what is new to it by the names of the files.
            (maildir / "cur" / f"{1_000_000 + number}.test:2,{'' if is_unread else 'S'}").write_bytes(raw)
        for path in [self.folder / "mail", *(self.folder / "mail").rglob("*")]:
            shutil.chown(path, "mail", "mail")

    def deliver(self, address: str, raw: bytes) -> None:
        """Have a message arrive in an inbox as mail does."""
        with smtplib.LMTP("127.0.0.1", self.ports.lmtp) as lmtp:
            lmtp.sendmail(CUSTOMER, [address], raw)

    def raws(self, address: str, folder: str = "") -> list[bytes]:
        """Every message of a folder, as it lies on the disk."""
        maildir = self.maildir(address, folder)
        return [path.read_bytes() for part in ("new", "cur") for path in sorted((maildir / part).glob("*"))]

    def is_idle(self) -> bool:
        """Whether nothing is on its way any more."""
        queues = (self.folder / "queue" / name for name in ("incoming", "active", "deferred", "maildrop"))
        return not any(path.is_file() for queue in queues for path in queue.rglob("*"))


@contextmanager
def mail_system(folder: Path) -> Iterator[MailSystem]:
    """Run one until the block ends.

    Args:
        folder: An empty folder. Its path must be short and others must be allowed to go through it.
    """
    folder.chmod(0o755)
    system = MailSystem(folder, Ports(*(free_port() for _ in Ports.__annotations__)))
    make_certificates(folder)
    with ExitStack() as stack:
        stack.enter_context(_dovecot(system))
        stack.enter_context(_postfix(system))
        yield system


@contextmanager
def _dovecot(system: MailSystem) -> Iterator[None]:
    folder, ports = system.folder, system.ports
    (folder / "mail").mkdir()
    shutil.chown(folder / "mail", "mail", "mail")
    _trust_tokens(folder)
    config = folder / "dovecot.conf"
    config.write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap lmtp
ssl = required
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%d/%n
mail_max_userip_connections = 100
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%d/%n
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
  mailbox Drafts {{
    auto = create
    special_use = \\Drafts
  }}
  mailbox Archive {{
    auto = create
    special_use = \\Archive
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {ports.lmtp}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {ports.auth}
  }}
}}
""")
    process = subprocess.Popen([_DOVECOT, "-F", "-c", str(config)])
    try:
        _wait_for(ports.imap, ports.imaps, ports.lmtp, log=folder / "dovecot.log")
        yield
    finally:
        process.terminate()
        process.wait(_PATIENCE_SECONDS)


def _trust_tokens(folder: Path) -> None:
    """Have tokens accepted that are signed with our key: the issuer `https://id.example` is known by it."""
    kept = folder / "keys" / "default" / "HS256"
    kept.mkdir(parents=True)
    (kept / "default").write_text(b64encode(TOKEN_KEY).decode())
    (folder / "oauth2.conf").write_text(f"""
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
""")


def token_for(address: str) -> str:
    """An access token of the issuer for a mailbox."""
    now = int(time.time())
    claims = {"iss": "https://id.example", "sub": address, "email": address, "iat": now - 10, "exp": now + 600}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(TOKEN_KEY))


@contextmanager
def _postfix(system: MailSystem) -> Iterator[None]:
    folder, ports = system.folder, system.ports
    config = folder / "postfix"
    for name in (config, folder / "queue", folder / "data"):
        name.mkdir()
        name.chmod(0o755)  # whatever the mask of this process is
    shutil.chown(folder / "data", "postfix", "postfix")
    (config / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = mail.larkspur.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
alias_maps =
alias_database =
virtual_mailbox_domains = {", ".join(DOMAINS)}
virtual_mailbox_maps = regexp:{config}/mailboxes
virtual_transport = lmtp:inet:127.0.0.1:{ports.lmtp}
smtpd_tls_cert_file = {folder}/server.pem
smtpd_tls_key_file = {folder}/server.key
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{ports.auth}
smtpd_sender_login_maps = regexp:{config}/senders
smtpd_sender_restrictions = reject_sender_login_mismatch
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
header_checks = regexp:{config}/headers
message_size_limit = 1000000
smtpd_error_sleep_time = 0
""")
    (config / "mailboxes").write_text("if !/^nobody/\n/./ there\nendif\n")
    (config / "headers").write_text("/^Subject: refuse me/ REJECT not this one\n")
    (config / "senders").write_text("/^(.*)$/ $1\n")
    tls = "-o smtpd_tls_wrappermode=yes"
    (config / "master.cf").write_text(f"""
127.0.0.1:{ports.submission} inet n - n - - smtpd
127.0.0.1:{ports.submissions} inet n - n - - smtpd {tls}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
""")
    _run(_POSTFIX, "-c", str(config), "start")
    try:
        _wait_for(ports.submission, ports.submissions, log=folder / "postfix.log")
        yield
    finally:
        _run(_POSTFIX, "-c", str(config), "stop")


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr


def _wait_for(*ports: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, log.read_text() if log.exists() else f"nothing at {port}"
                time.sleep(0.05)


def make_certificates(folder: Path) -> None:
    """An authority of our own (`ca.pem`), and a certificate of this machine (`server.pem`, `server.key`)."""
    now = datetime.now(UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])

    def made(subject: x509.Name, of: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(ca_name).public_key(of.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=30))

    key_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    ca = made(ca_name, ca_key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    ca = ca.add_extension(key_id, critical=False).add_extension(usage, critical=True)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    server = made(name, key).add_extension(here, critical=False)
    server = server.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (folder / "server.pem").write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(private)
