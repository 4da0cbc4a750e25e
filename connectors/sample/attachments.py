"""Small real files to attach: PDF, PNG, CSV, text and calendar invitations, the same bytes every time."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random


@dataclass(frozen=True)
class Attached:
    """A file as it hangs on a message; `media_type` such as `application/pdf`."""

    name: str
    media_type: str
    data: bytes


def pdf(name: str, title: str, lines: Sequence[str]) -> Attached:
    """A one-page PDF with a title and lines of text (PDF 1.4, one uncompressed content stream)."""
    text = "".join(f"({_escaped(line)}) Tj T*\n" for line in lines)
    stream = f"BT /F1 16 Tf 56 780 Td ({_escaped(title)}) Tj /F1 10 Tf 0 -32 Td 15 TL\n{text}ET".encode(
        "cp1252", "replace"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"xref\n0 6\n0000000000 65535 f \n%strailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return Attached(name, "application/pdf", out + trailer % (table, len(out)))


def photo(name: str, rng: Random) -> Attached:
    """A grey PNG of 64 x 48 pixels that shows a crack. Stored uncompressed, since compressors differ."""
    width, height, crack = 64, 48, rng.randint(10, 54)
    rows = b""
    for y in range(height):
        crack = min(max(crack + rng.choice((-1, 0, 1)), 1), width - 2)
        grain = rng.randbytes(width)
        row = bytes(20 if x == crack else 150 + (x + y) // 2 + grain[x] % 10 for x in range(width))
        rows += b"\x00" + row
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    stored += struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stored), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return Attached(name, "image/png", b"\x89PNG\r\n\x1a\n" + data)


def readings(name: str, start: datetime, rng: Random) -> Attached:
    """A logger's export as CSV, ten-minute values over half a day with a gap in it."""
    value, gap, lines = 4.0 + rng.random(), rng.randint(20, 50), ["time_utc;temperature_c;battery_v"]
    for step in range(72):
        value += rng.uniform(-0.15, 0.15)
        if not gap <= step < gap + 9:
            at = start + timedelta(minutes=10 * step)
            lines.append(f"{at:%Y-%m-%d %H:%M};{value:.2f};{3.4 - step / 200:.2f}")
    return Attached(name, "text/csv", ("\r\n".join(lines) + "\r\n").encode())


def table(name: str, rows: Sequence[Sequence[object]]) -> Attached:
    """Rows as CSV."""
    text = "".join(",".join(map(str, row)) + "\r\n" for row in rows)
    return Attached(name, "text/csv", text.encode())


def note(name: str, text: str) -> Attached:
    """Plain text in UTF-8."""
    return Attached(name, "text/plain", text.encode())


def invitation(name: str, subject: str, at: datetime, organiser: str) -> Attached:
    """A calendar invitation for an hour (RFC 5545)."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Larkspur Instruments//Calendar//EN",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        f"UID:{at:%Y%m%dT%H%M}-{zlib.crc32(subject.encode()):08x}@larkspur.example",
        f"DTSTAMP:{at - timedelta(days=3):%Y%m%dT%H%M%SZ}",
        f"DTSTART:{at:%Y%m%dT%H%M%SZ}",
        f"DTEND:{at + timedelta(hours=1):%Y%m%dT%H%M%SZ}",
        f"SUMMARY:{subject}",
        f"ORGANIZER:mailto:{organiser}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return Attached(name, "text/calendar", ("\r\n".join(lines) + "\r\n").encode())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
