"""What a warm page costs: `./run bench`. CPU per request of the skeleton's pages, and SQL statements, in one process.

Prints a table; nothing passes or fails here. Run on a quiet machine; compare ratios, not absolute times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from sqlalchemy import Engine, event

from tests.browser_client import Browser
from tests.world import CONSOLE_HOST, STAFF_HOST, World
from wavu.web.flask_app import WavuFlask

ROUNDS = 200


def _measure(page: Callable[[], object]) -> tuple[float, float, int]:
    """(median wall ms, median CPU ms, statements of one request)."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    for _ in range(20):
        page()
    event.listen(Engine, "before_cursor_execute", note)
    page()
    event.remove(Engine, "before_cursor_execute", note)
    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        page()
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    return statistics.median(walls), statistics.median(cpus), len(seen)


def test_pages(world: World, app: WavuFlask) -> None:
    owner, staff = Browser(app), Browser(app)
    owner.sign_in(CONSOLE_HOST, world.a.owner)
    staff.sign_in(STAFF_HOST, world.admin, world)
    pages = {
        "portal home": lambda: owner.client.get("/", base_url=f"https://{world.a.host}"),
        "sign-in": lambda: Browser(app).client.get("/sign-in", base_url=f"https://{CONSOLE_HOST}"),
        "console home": lambda: owner.client.get("/", base_url=f"https://{CONSOLE_HOST}"),
        "console team": lambda: owner.client.get("/team", base_url=f"https://{CONSOLE_HOST}"),
        "staff: ISPs": lambda: staff.client.get("/isps", base_url=f"https://{STAFF_HOST}"),
    }
    print(f"\n{'page':15} {'wall ms':>8} {'CPU ms':>8} {'statements':>11}   (medians of {ROUNDS})")
    for name, page in pages.items():
        wall, cpu, statements = _measure(page)
        print(f"{name:15} {wall:8.2f} {cpu:8.2f} {statements:11}")
