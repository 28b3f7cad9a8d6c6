from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from rehearsal.packages import NEEDS
from rehearsal.servers import free_port
from tests.browser.site import Site, serve
from tests.stack import Stack, environment

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost",  # whatever else a page asks for, it does not get
)


def find_chromium() -> str:
    """Skips, or fails where the run is a gate, when there is no browser: it must not pass unseen."""
    names = next(need.programs for need in NEEDS if "chromium" in need.programs)
    for name in names:
        if found := shutil.which(name):
            return found
    advice = f"NO BROWSER: none of {', '.join(names)} is on PATH; on Debian: apt-get install -y chromium"
    if os.environ.get("CI"):
        pytest.fail(advice, pytrace=False)
    pytest.skip(advice)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(servers: Stack, worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One web for the whole tier: what a test changes is its own, such as a person or an ISP that it makes."""
    database = f"wavu_browser_{worker_number}"
    servers.clone(database)
    log = tmp_path_factory.mktemp("browser") / "web.log"
    try:
        with serve(environment(servers, database, 12 + worker_number % 4), free_port(), log) as running:
            yield running
    finally:
        servers.drop(database)


@pytest.fixture(autouse=True)
def _no_bug_on_the_way(site: Site) -> Iterator[None]:
    """Whatever the page looked like: the server reported nothing."""
    before = Path(site.log).stat().st_size
    yield
    assert site.log.read_bytes()[before:].decode() == ""


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def script(request: pytest.FixtureRequest) -> bool:
    """Whether the browser runs scripts: people do everything without, too."""
    return bool(request.param)
