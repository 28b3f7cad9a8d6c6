"""Makes docs/images/*.png from a running rehearsal: start `./run`, then `.venv/bin/python docs/screenshots.py`.

Reads var/rehearsal.json (or that of VAR_DIR). Signs two accounts in, and buys the popular package at the first ISP,
with a phone of its own that it adds to the virtual router (on Linux, like the virtual routers).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyotp
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
FACTS = Path(os.environ.get("VAR_DIR") or ROOT / "var") / "rehearsal.json"
PHONE, LAPTOP = (360, 740), (1366, 768)
LIMIT = 200_000
MARGIN = 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@contextmanager
def window(
    browser: Browser, size: tuple[int, int], mode: Literal["light", "dark"] = "light", locale: str = "en-KE"
) -> Iterator[Page]:
    shape = {"width": size[0], "height": size[1]}
    context = browser.new_context(
        viewport={"width": shape["width"], "height": shape["height"]}, color_scheme=mode, locale=locale
    )
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, url: str, account: dict[str, Any]) -> None:
    page.goto(f"{url}/sign-in")
    page.fill("[name=email]", account["email"])
    page.fill("[name=password]", account["password"])
    page.click("main button")
    if secret := account.get("totp_secret"):
        enter_code(page, pyotp.TOTP(secret))
    page.wait_for_selector(".nav")


def enter_code(page: Page, totp: pyotp.TOTP) -> None:
    """A code counts once, and whoever runs the rehearsal may have just used this one: then the next one."""
    for ahead in (0, 1):
        page.fill("[name=code]", totp.generate_otp(int(time.time()) // totp.interval + ahead))
        page.click("main button")
        page.wait_for_load_state()
        if not page.locator("[name=code]").count():
            return


def beside(browser: Browser, shots: list[bytes]) -> bytes:
    """Pictures of phones, side by side on grey."""
    width = len(shots) * (PHONE[0] + MARGIN) + MARGIN
    pictures = "".join(f'<img src="data:image/png;base64,{base64.b64encode(shot).decode()}">' for shot in shots)
    body = f"margin:{MARGIN}px;background:#d7dbe0;display:flex;align-items:start;gap:{MARGIN}px"
    style = f"body{{{body}}}img{{border-radius:16px}}"
    with window(browser, (width, PHONE[1] + 2 * MARGIN)) as page:
        page.set_content(f"<style>{style}</style>{pictures}")
        return page.screenshot()


def portals(browser: Browser, urls: dict[str, str]) -> bytes:
    """Each in its ISP's own language: the browser asks for one that we do not have."""
    shots = []
    for url in urls.values():
        with window(browser, PHONE, locale="fr-FR") as page:
            page.goto(url)
            shots.append(page.screenshot())
    return beside(browser, shots)


def purchase(browser: Browser, urls: dict[str, Any]) -> tuple[bytes, bytes]:
    """From the blocked phone to the day that ticks: router, packages, prompt, the virtual phone, online, router."""
    # A number and a device of this minute: a phone that was asked lately is made to wait.
    number = f"07{int(time.time()) // 60 % 10**8:08d}"
    with window(browser, PHONE) as router, window(browser, PHONE) as page, window(browser, PHONE) as handset:
        router.goto(urls["routers"])
        router.get_by_role("link", name="Add a phone").first.click()
        router.fill("[name=name]", "Asha's phone")
        router.click("main button")
        mine = router.locator("article", has_text="Asha's phone").last
        mine.get_by_role("button", name="Join Wi-Fi").click()
        shots = [mine.screenshot()]
        page.goto(str(mine.get_by_role("link", name="Open browser").get_attribute("href")))
        page.fill("[name=phone]", number)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        shots.append(page.screenshot())
        page.click("form[data-pay] button")
        page.locator(".now", has_text="Enter your M-Pesa PIN").wait_for(timeout=20_000)
        shots.append(page.screenshot())
        handset.goto(f"{urls['phones']}254{number[1:]}")
        handset.fill("[name=pin]", "1234")
        shots.append(handset.screenshot())
        handset.click("button.go")
        page.get_by_text("You are online").wait_for(timeout=30_000)
        shots.append(page.screenshot())
        router.reload()
        shots.append(mine.screenshot())
    return beside(browser, shots[:3]), beside(browser, shots[3:])


def console(browser: Browser, url: str, account: dict[str, Any]) -> bytes:
    shots = []
    with window(browser, PHONE) as page:
        sign_in(page, url, account)
        for path, mode in (("/", "light"), ("/team", "dark")):
            page.emulate_media(color_scheme="light" if mode == "light" else "dark")
            page.goto(url + path)
            shots.append(page.screenshot())
    return beside(browser, shots)


def staff(browser: Browser, url: str, account: dict[str, Any]) -> bytes:
    with window(browser, LAPTOP) as page:
        sign_in(page, url, account)
        return page.screenshot()


def save(name: str, picture: bytes) -> None:
    if len(picture) > LIMIT:
        raise SystemExit(f"{name} would have {len(picture)} bytes, more than {LIMIT}")
    (IMAGES / name).write_bytes(picture)
    sys.stdout.write(f"{name}: {len(picture)} bytes\n")


def main() -> None:
    if not FACTS.exists():
        raise SystemExit(f"No {FACTS}: start the rehearsal with ./run first.")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit("No Chromium on PATH: on Debian, apt-get install -y chromium")
    facts = json.loads(FACTS.read_text())
    urls, accounts = facts["urls"], {account["role"]: account for account in facts["accounts"]}
    first = next(iter(urls["portals"]))
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        save("portal-phone.png", portals(browser, urls["portals"]))
        asked, answered = purchase(browser, urls)
        save("purchase-asked.png", asked)
        save("purchase-answered.png", answered)
        save("console-phone.png", console(browser, urls["console"], accounts[f"{first} owner"]))
        save("staff-laptop.png", staff(browser, urls["platform"], accounts["platform admin"]))
        browser.close()


if __name__ == "__main__":
    main()
