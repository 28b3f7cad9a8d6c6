"""A mail server that delivers nothing: every message becomes a file in MAIL_DIR, for tests and for curious people."""

import asyncio
import os
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 500
BYTES_LIMIT = 30_000_000


class Catcher:
    """Writes `<UTC time>-<number>-<recipient>.eml`; whoever lists the folder only ever sees whole messages."""

    def __init__(self, folder: Path, kept: int = KEPT) -> None:
        self.folder = folder
        self.kept = kept
        self._number = 0
        # Messages have links that sign people in.
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        self.keep(content, envelope.mail_from or "", envelope.rcpt_tos)
        return "250 Kept"

    def keep(self, content: bytes, sender: str, recipients: list[str]) -> Path:
        envelope = f"X-Envelope-From: {sender}\r\nX-Envelope-To: {', '.join(recipients)}\r\n"
        self._number += 1
        recipient = re.sub(r"[^A-Za-z0-9@._+-]", "_", recipients[0] if recipients else "nobody")[:80]
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        path = self.folder / f"{stamp}-{self._number:06d}-{recipient}.eml"
        unfinished = path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(envelope.encode() + content)
        unfinished.replace(path)
        for old in sorted(self.folder.glob("*.eml"))[: -self.kept]:
            old.unlink(missing_ok=True)
        return path


async def serve(folder: Path, host: str, port: int) -> None:
    """Until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    catcher = Catcher(folder)
    server = await loop.create_server(
        lambda: SMTP(catcher, hostname="wavu.localhost", data_size_limit=BYTES_LIMIT, enable_SMTPUTF8=True), host, port
    )
    async with server:
        await stop.wait()


def main() -> None:
    url = urlsplit(os.environ["SMTP_URL"])
    if url.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SystemExit(f"The mail catcher only listens on loopback, and SMTP_URL names {url.hostname}.")
    asyncio.run(serve(Path(os.environ["MAIL_DIR"]), url.hostname, url.port or 25))


if __name__ == "__main__":
    main()
