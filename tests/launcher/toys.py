"""Small programs that stand for the product, and ways to look at processes from outside."""
# ruff: noqa: S607

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable

LAUNCH = """
import sys
from pathlib import Path
from rehearsal.commands import COMMANDS
from rehearsal.faults import SetupFault
from rehearsal.up import Rehearsal

root = Path(sys.argv[1])
seed = (sys.executable, "-c", 'print(\\'{"urls": {"platform": "http://wavu.localhost"}, "accounts": []}\\')')
sys.exit(Rehearsal(root, root / "var", seed=seed, roles=lambda *_: None, stop_grace=2).run())
"""

WEB = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def until(condition: Callable[[], object], seconds: float = 10, tick: Callable[[], None] = lambda: None) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        tick()
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Zombies count as dead: nobody has to bury an orphan of ours in a container."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def toy_checkout(root: Path, web: str = WEB) -> Path:
    (root / "web.py").write_text(web)
    (root / "Procfile").write_text(f"release: echo migrated\nweb: {PYTHON} web.py\nworker: sleep 1000\n")
    (root / "Procfile.dev").write_text("mail: sleep 1000\n")
    return root


class Launcher:
    """A launcher of a toy checkout in a process of its own."""

    def __init__(self, root: Path, ports: dict[str, str]) -> None:
        self.root = root
        env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"} | ports
        for name in ("DATABASE_URL", "MIGRATE_URL", "RELAY_DATABASE_URL", "REDIS_URL"):
            env.pop(name, None)
        self.process = subprocess.Popen(
            [PYTHON, "-c", LAUNCH, str(root)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def await_summary(self) -> str:
        assert self.process.stdout
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Stop: Ctrl-C" in line:
                return "".join(lines)
        raise AssertionError("".join(lines))

    def finish(self, signum: signal.Signals | None = None) -> tuple[int, str]:
        if signum:
            self.process.send_signal(signum)
        output, _ = self.process.communicate(timeout=15)
        return self.process.returncode, output

    def pids(self) -> dict[str, int]:
        noted: dict[str, dict[str, Any]] = json.loads((self.root / "var" / "processes.json").read_text())
        return {name: int(note["pid"]) for name, note in noted.items()}
