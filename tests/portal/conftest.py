from __future__ import annotations

import pytest
from flask import Flask

from tests.portal.counter import Counter, open_counter
from tests.world import World


@pytest.fixture
def counter(app: Flask, world: World) -> Counter:
    return open_counter(app, world)
