"""What a warm page costs: `./run bench`. CPU per request of the skeleton's pages, and SQL statements, in one process.

Prints a table; nothing passes or fails here. Run on a quiet machine; compare ratios, not absolute times.
"""

from __future__ import annotations

from benchmarks.meter import measure
from tests.browser_client import Browser
from tests.world import CONSOLE_HOST, STAFF_HOST, World
from wavu.web.flask_app import WavuFlask


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
    print(f"\n{'page':15} {'wall ms':>8} {'CPU ms':>8} {'statements':>11}   (medians)")
    for name, page in pages.items():
        cost = measure(page)
        print(f"{name:15} {cost.wall:8.2f} {cost.cpu:8.2f} {cost.statements:11}")
