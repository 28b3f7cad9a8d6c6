from __future__ import annotations
import re, os
import pytest
from playwright.sync_api import Browser
from tests.browser.site import PORTAL_A, PORTAL_B, Site
from tests.browser.visitor import PORTAL, visit
from tests.portal.counter import open_counter, login_url, Counter
from urllib.parse import urlencode

_c = {}
def counter(site):
    if "c" not in _c: _c["c"] = open_counter(site.app, site.world)
    return _c["c"]

N = [0]
def buy(v, host, lang, c, isp):
    N[0] += 1
    v.go(host, "/?" + urlencode(c.arrive(isp) | {"lang": lang}))
    v.fill(phone=f"0712 34{N[0]:04d}")
    with v.page.expect_navigation():
        v.page.locator("button").click()
    return re.search(r"/w/([0-9a-f]{32})", v.page.url)[1]

@pytest.mark.parametrize("lang", ["en", "sw"])
@pytest.mark.parametrize("host", [PORTAL_A, PORTAL_B])
def test_look(chromium: Browser, site: Site, host, lang):
    c = counter(site); isp = c.world.a if host == PORTAL_A else c.world.b
    t = f"{'mtaa' if host == PORTAL_A else 'nyumba'} {lang}"
    with visit(chromium, site, script=True, budget=PORTAL, language="en-GB") as v:
        v.go(host, "/?" + urlencode(c.arrive(isp) | {"lang": lang}))
        v.look(f"{t} 1 home")
        print(t, "home", v._traffic.requests, v._traffic.bytes)
        v.fill(phone="abc")
        with v.page.expect_navigation(): v.page.locator("button").click()
        v.look(f"{t} 2 bad phone", status=422)
        v.go(host, "/?" + urlencode(c.arrive(isp, err="radius-timeout") | {"lang": lang}))
        v.look(f"{t} 3 err")
        n = buy(v, host, lang, c, isp)
        v.look(f"{t} 4 requested")
        print(t, "wait", v._traffic.requests, v._traffic.bytes)
        for i,(state, code, ago) in enumerate([("pending", None, 20), ("unknown", None, 30), ("failed","1032",130), ("failed","1001",5), ("failed","2028",130), ("failed","777",130), ("pending",None,80), ("review","777",80)]):
            c.answer(isp, n, state, code, ago=ago)
            v.go(host, f"/w/{n}?lang={lang}")
            v.look(f"{t} 5{i} {state} {code} {ago}")
        c.paid(isp, n)
        v.page.route("**/go*", lambda r: r.abort())
        v.go(host, f"/w/{n}?lang={lang}&back=1&err=radius-timeout")
        v.look(f"{t} 6 paid back")
        c.online(isp, n)
        v.go(host, f"/w/{n}?lang={lang}&back=1")
        v.look(f"{t} 7 online")
        c.end(isp, n)
        v.go(host, f"/w/{n}?lang={lang}")
        v.look(f"{t} 8 ended")
        v.go(host, "/?" + urlencode(dict(lo="http://evil/login")) + f"&lang={lang}")
        v.look(f"{t} 9 bad lo", status=422)
        # no router
        v.go(host, f"/?lang={lang}"); v.fill(phone=f"0722 33{N[0]:04d}")
        with v.page.expect_navigation(): v.page.locator("button").click()
        n = re.search(r"/w/([0-9a-f]{32})", v.page.url)[1]
        c.paid(isp, n); v.go(host, f"/w/{n}?lang={lang}")
        v.look(f"{t} 91 paid no router")
