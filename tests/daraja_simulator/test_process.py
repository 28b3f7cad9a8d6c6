"""The process, loopback only, and what is written down."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.daraja import Simulator, require_loopback
from rehearsal.daraja.__main__ import main
from rehearsal.daraja.journal import masked
from tests.daraja_simulator.shop import ASHA, Shop, ask, credential

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.10", "example.net", ""])  # noqa: S104 - must be refused
def test_it_binds_loopback_only(bind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        require_loopback(bind)
    assert main({"DARAJA_BIND": bind}) == 2
    assert "loopback only" in capsys.readouterr().err


def test_loopback_by_other_names() -> None:
    assert [require_loopback(name) for name in ("localhost", "127.0.0.5", "::1")] == ["127.0.0.1", "127.0.0.5", "::1"]


def test_the_process_serves_apps_of_a_file_and_stops_when_told(tmp_path: Path) -> None:
    apps = tmp_path / "apps.json"
    app = {"consumer_key": "k", "consumer_secret": "s", "shortcode": "174379", "passkey": "p", "name": "PENDO"}
    phones = [{"msisdn": ASHA, "balance": 70}]
    apps.write_text(json.dumps({"apps": [app], "subscribers": phones, "knobs": {"callback.drop": 1}}))
    journal = tmp_path / "journal.jsonl"
    settings = {"DARAJA_APPS": str(apps), "DARAJA_PORT": "0", "DARAJA_JOURNAL": str(journal)}
    command = [sys.executable, "-m", "rehearsal.daraja"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        base = re.findall(r"http://127\.0\.0\.1:\d+", line)[0]
        assert ask(base, "GET", "/control/subscribers").json[0]["balance"] == 70
        basic = {"Authorization": "Basic azpz"}
        assert ask(base, "GET", "/oauth/v1/generate?grant_type=client_credentials", headers=basic).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    assert "***" in journal.read_text()


def test_it_shares_nothing_with_the_product() -> None:
    """A constant shared with the client would hide the client's misunderstanding of it."""
    for file in (file for room in ("daraja", "simulation") for file in (ROOT / "rehearsal" / room).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {name.split(".")[0] for name in names} & {"wavu", "tenants", "workers", "config"}, file


def test_a_page_elsewhere_cannot_drive_it(sim: Simulator) -> None:
    rebound = {"Host": "evil.example.net"}
    assert ask(sim.base_url, "GET", "/control/state", headers=rebound).status == 403
    foreign = {"Origin": "http://evil.example.net"}
    assert ask(sim.base_url, "POST", "/control/reset", {}, foreign).status == 403
    form = {"Content-Type": "text/plain"}
    assert ask(sim.base_url, "POST", "/control/knobs", b'{"stk.lock": "off"}', form).status == 400


def test_the_journal_keeps_no_secrets(sim: Simulator, acting: Shop) -> None:
    paybill = acting
    checkout = paybill.checkout()
    sim.answer(checkout, "pin")
    sealed = credential(sim, "Secret#2026")
    paybill.post("/mpesa/b2c/v1/paymentrequest", {
        "InitiatorName": "wavuapi", "SecurityCredential": sealed, "CommandID": "BusinessPayment", "Amount": 10,
        "PartyA": paybill.shortcode, "PartyB": ASHA, "Remarks": "refund", "ResultURL": paybill.callback_url,
        "QueueTimeOutURL": paybill.callback_url,
    })  # fmt: skip
    sim.advance(1)
    log = json.dumps(list(sim.journal.lines))
    for secret in (paybill.bearer, paybill.secret, paybill.passkey, ASHA, ASHA[3:], checkout, sealed, "3f" * 32):
        assert secret not in log
    for exchange in ("callback", "b2c", "b2c_result"):
        assert f'"exchange": "{exchange}"' in log
    assert masked({"Password": "x", "Amount": 50, "PhoneNumber": 254712345678}) == {
        "Password": "***", "Amount": 50, "PhoneNumber": "******678",
    }  # fmt: skip
