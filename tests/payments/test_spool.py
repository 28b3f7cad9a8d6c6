"""Callbacks that come while PostgreSQL is away are answered, kept on the disk, and settled when it is back (CP23)."""

from __future__ import annotations

import json
import time

import pytest

from tenants.hooks import spool
from tests.payments.test_callbacks import _asked, _post, _success
from tests.shop import Shop


def _stop_watching(shop: Shop) -> None:
    """The test hands in by itself."""
    shop.spool.watch(shop.app)
    shop.spool.stop()


def test_a_payment_reported_during_an_outage_is_settled_after_it(shop: Shop) -> None:
    _stop_watching(shop)
    path, checkout = _asked(shop)
    with shop.without_database():
        assert _post(shop, path, _success(checkout)) == 200
        assert _post(shop, path, _success(checkout)) == 200, "Daraja may say it twice"
        assert len(shop.spool.waiting()) == 2
        assert shop.spool.hand_in(shop.app) == 0
        assert len(shop.spool.waiting()) == 2, "nothing is lost while it is still away"
    assert shop.spool.hand_in(shop.app) == 2
    assert shop.spool.waiting() == []
    assert shop.rows("SELECT count(*) FROM inbound_event") == [(1,)]
    shop.work("settle_callback")
    assert shop.intents() == ["succeeded"]
    shop.check_books()


def test_it_happens_by_itself(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_LOOK_SECONDS", 0.05)
    path, checkout = _asked(shop)
    with shop.without_database():
        assert _post(shop, path, _success(checkout)) == 200
    end = time.monotonic() + 10
    while shop.spool.waiting() and time.monotonic() < end:
        time.sleep(0.05)
    assert shop.rows("SELECT count(*) FROM inbound_event") == [(1,)]


def test_what_a_stranger_puts_into_the_spool_moves_no_money(shop: Shop) -> None:
    _stop_watching(shop)
    path, checkout = _asked(shop)
    head, _, token = path.rpartition("/")
    stranger = head.replace(str(shop.world.a.id), str(shop.world.b.id))
    with shop.without_database():
        assert _post(shop, f"{head}/{'0' * 64}", _success(checkout)) == 200
        assert _post(shop, f"{stranger}/{token}", _success(checkout)) == 200
        assert _post(shop, f"{head}/not-a-token", _success(checkout)) in {404, 503}
        assert _post(shop, path, b"x" * 70_000) == 413
    assert len(shop.spool.waiting()) == 2
    shop.spool.hand_in(shop.app)
    assert shop.spool.waiting() == []
    assert shop.rows("SELECT count(*) FROM inbound_event") == [(0,)]


def test_a_full_spool_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_watching(shop)
    monkeypatch.setattr(spool, "MOST_FILES", 1)
    path, checkout = _asked(shop)
    with shop.without_database():
        assert _post(shop, path, _success(checkout)) == 200
        assert _post(shop, path, _success(checkout)) == 503


def test_a_file_that_cannot_be_read_is_set_aside(shop: Shop) -> None:
    _stop_watching(shop)
    path, checkout = _asked(shop)
    with shop.without_database():
        assert _post(shop, path, _success(checkout)) == 200
        assert _post(shop, path, _success(checkout)) == 200
    first = shop.spool.waiting()[0]
    assert oct(first.stat().st_mode & 0o777) == "0o600"
    first.write_text(json.dumps({"half": "a file"}))
    assert shop.spool.hand_in(shop.app) == 1
    assert shop.rows("SELECT count(*) FROM inbound_event") == [(1,)]
    assert [path.name for path in first.parent.glob("*.bad")] == [f"{first.stem}.bad"]
