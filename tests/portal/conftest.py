from __future__ import annotations

import pytest
from flask import Flask

from tests.browser_client import Browser
from tests.portal.counter import Counter, open_counter
from tests.portal.customer import Customer
from tests.world import World
from wavu.web.security import flood, limiter


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many customers share one address here; test_refusals.py has the limits."""
    monkeypatch.setattr(limiter, "enabled", False)
    monkeypatch.setattr(flood, "limits", {})


@pytest.fixture
def counter(app: Flask, world: World) -> Counter:
    return open_counter(app, world)


@pytest.fixture
def customer(counter: Counter, browser: Browser) -> Customer:
    return Customer(browser, counter)
