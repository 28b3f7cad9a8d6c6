"""The hotspot's own web pages (sheet 3.1, 3.2): whoever is not logged in is sent to the portal, `/login` asks RADIUS.

On the air a router tells phones apart by their radio. Here every browser comes from this machine, so a page is opened
once with `?device=<mac>` and a cookie remembers it; that parameter and that cookie are all that is not RouterOS.
"""

from __future__ import annotations

import binascii
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Flask, Response, g, jsonify, make_response, redirect, render_template, request
from werkzeug.routing import Map
from werkzeug.wrappers import Response as AnyResponse

from rehearsal.simulation import NotPossible, Server, application

from .people import CHALLENGE_SECONDS, ERRORS, Challenge, Credentials, Device, chap, pap, read_mac

if TYPE_CHECKING:
    from .router import VirtualRouter

_ADDRESSES = Map()
_COOKIE = "simulated_device"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_PROBES = ("/generate_204", "/gen_204")


class HotspotServer:
    """Serves at once, on the router's own address. Raises OSError if the port is taken."""

    def __init__(self, router: VirtualRouter, port: int) -> None:
        self.router = router
        self._server = Server(self._application(), router.box.address, port)
        self.url = self._server.url

    def close(self) -> None:
        self._server.close()

    def _application(self) -> Flask:
        web = application(__package__, _ADDRESSES)
        web.before_request(self._intercept_other_hosts)
        web.after_request(self._finish)
        web.register_error_handler(NotPossible, lambda error: _notice("Not now", f"{error}", status=503))
        web.add_url_rule("/login", "login", self._login, methods=["GET", "POST"])
        web.add_url_rule("/logout", "logout", self._logout, methods=["GET", "POST"])
        web.add_url_rule("/status", "status", self._status)
        web.add_url_rule("/api", "api", self._api)
        web.add_url_rule("/md5.js", "md5", lambda: Response(_MD5, content_type="text/javascript"))
        web.add_url_rule("/", "root", self._anything, methods=["GET", "POST"])
        web.add_url_rule("/<path:path>", "anything", self._anything, methods=["GET", "POST"])
        return web

    # -- every request

    def _intercept_other_hosts(self) -> AnyResponse | None:
        """A page of the Internet asked for through the router (as a proxy): only ever a redirect, never an action."""
        return self._anything() if request.host != urlsplit(self.url).netloc else None

    def _finish(self, response: Response) -> Response:
        if mac := g.get("mark"):
            response.set_cookie(_COOKIE, mac.replace(":", ""), httponly=True)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _device(self) -> Device:
        """Whose browser this is; named for the first time, it joins the Wi-Fi. Raises NotPossible."""
        router, named = self.router, request.values.get("device", "")
        try:
            mac = read_mac(named or request.cookies.get(_COOKIE, ""))
        except ValueError:
            joined = [device for device in list(router.devices.values()) if device.kind == "phone" and device.joined]
            if named or len(joined) != 1:
                raise NotPossible("open this page once with ?device= and the MAC of a phone") from None
            return joined[0]
        if named:
            g.mark = mac
            known = router.devices.get(mac)
            if known is None or not known.joined:
                router.join(mac)
        device = router.devices.get(mac)
        if device is None or not device.joined:
            raise NotPossible("this phone is not on the Wi-Fi")
        return device

    # -- pages

    def _anything(self, path: str = "") -> AnyResponse:
        device = self._device()
        if device.session is None:
            return redirect(f"{self.url}/login?{urlencode({'dst': _without_device(request.url)})}")
        if request.path in _PROBES:
            return Response(status=204)
        text = "This stands for the Internet: the router lets the phone through."
        return _notice("You are online", text, shown=_without_device(request.url), link="/status")

    def _login(self) -> AnyResponse:
        device, dst = self._device(), _destination(request.values.get("dst", ""))
        if device.session is not None:
            return redirect(dst or "/status")
        username = request.values.get("username")
        if username is None:
            return self._thin_page(device, dst)
        credentials = self._credentials(device, username, request.values.get("password", ""))
        if credentials is None:
            return self._thin_page(device, dst, ERRORS["chap-missing"])
        outcome = self.router.login_with(device.mac, credentials)
        return redirect(dst or "/status") if outcome.ok else self._thin_page(device, dst, outcome.error)

    def _credentials(self, device: Device, username: str, password: str) -> Credentials | None:
        """The browser's MD5 with the page's challenge is CHAP, anything else PAP where that is allowed (sheet 3.2)."""
        challenge, methods = device.challenge, self.router.login_by
        fresh = challenge is not None and self.router.clock.now() - challenge.issued <= CHALLENGE_SECONDS
        if challenge is not None and fresh and re.fullmatch(r"[0-9a-f]{32}", password):
            answer = bytes((challenge.identifier,)) + binascii.unhexlify(password)
            return chap(username, answer, challenge.octets)
        return pap(username, password) if "http-pap" in methods else None

    def _thin_page(self, device: Device, dst: str, error: str = "") -> AnyResponse:
        """login.html of sheet 3.2: on to the portal with mac, ip, srv, lo, dst and err, and CHAP values in it only."""
        router = self.router
        facts = {
            "mac": device.mac, "ip": device.ip, "srv": router.box.hotspot, "lo": f"{self.url}/login", "dst": dst,
            "err": error,
        }  # fmt: skip
        joint = "&" if "?" in router.portal_url else "?"
        portal = f"{router.portal_url}{joint}{urlencode(facts)}" if router.portal_url else ""
        if portal and router.knobs.hotspot_redirect == "302":
            return redirect(portal)
        chap_id = chap_challenge = ""
        if "http-chap" in router.login_by:
            device.challenge = Challenge(secrets.randbelow(256), secrets.token_bytes(16), router.clock.now())
            chap_id = _octal(bytes((device.challenge.identifier,)))
            chap_challenge = _octal(device.challenge.octets)
        return _page(
            "login.html", portal=portal, error=error, dst=dst, login=facts["lo"], router=router.name,
            chap_id=chap_id, chap_challenge=chap_challenge,
        )  # fmt: skip

    def _status(self) -> AnyResponse:
        device, now = self._device(), self.router.clock.now()
        session = device.session
        if session is None:
            return redirect("/login")
        return _page("status.html", session=session.as_json(now), router=self.router.name)

    def _logout(self) -> AnyResponse:
        device = self._device()
        if device.session is None:
            return _notice("Log in", ERRORS["not-logged-in"].format(ip=device.ip), link="/login")
        session = device.session
        self.router.logout(device.mac)
        used = session.as_json(self.router.clock.now())
        text = f"You were online for {used['uptime']} seconds: {used['download']} bytes down, {used['upload']} up."
        return _notice("You have logged out", text, link="/login")

    def _api(self) -> AnyResponse:
        """RFC 8908 (sheet 3.6)."""
        session = self._device().session
        left = session.time_left(self.router.clock.now()) if session else None
        answer: dict[str, object] = {"captive": session is None, "user-portal-url": f"{self.url}/login"}
        response = jsonify(answer | ({} if left is None else {"seconds-remaining": left}))
        response.content_type = "application/captive+json"
        return response


def _octal(octets: bytes) -> str:
    """As RouterOS writes `$(chap-challenge)`: the inside of a JavaScript string (sheet 3.2)."""
    return "".join(f"\\{octet:03o}" for octet in octets)


def _without_device(url: str) -> str:
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "device"]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def _destination(dst: str) -> str:
    """A web address, or nothing: a phone must not be sent to `javascript:`."""
    return dst if re.fullmatch(r"https?://[^\s\x00-\x20\x7f]{1,2000}", dst) else ""


def _notice(title: str, text: str, *, shown: str = "", link: str = "", status: int = 200) -> Response:
    return _page("notice.html", status, title=title, text=text, shown=shown, link=link)


def _page(template: str, status: int = 200, **context: object) -> Response:
    return make_response(render_template(template, **context), status)


# What the stock page calls hexMD5 (RFC 1321), over the low eight bits of each character.
_MD5 = """
function hexMD5(text) {
  var turns = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21], words = [], hex = '', i;
  var length = ((text.length + 8) >> 6) * 16 + 16, state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (i = 0; i < length; i++) words[i] = 0;
  for (i = 0; i < text.length; i++) words[i >> 2] |= (text.charCodeAt(i) & 255) << ((i % 4) * 8);
  words[i >> 2] |= 128 << ((i % 4) * 8);
  words[length - 2] = text.length * 8;
  for (var block = 0; block < length; block += 16) {
    var a = state[0], b = state[1], c = state[2], d = state[3];
    for (i = 0; i < 64; i++) {
      var round = i >> 4, f, at;
      if (round === 0) { f = (b & c) | (~b & d); at = i; }
      else if (round === 1) { f = (d & b) | (~d & c); at = (5 * i + 1) % 16; }
      else if (round === 2) { f = b ^ c ^ d; at = (3 * i + 5) % 16; }
      else { f = c ^ (b | ~d); at = (7 * i) % 16; }
      var sum = (a + f + Math.floor(Math.abs(Math.sin(i + 1)) * 4294967296) + words[block + at]) | 0;
      var turn = turns[round * 4 + i % 4];
      a = d; d = c; c = b;
      b = (b + ((sum << turn) | (sum >>> (32 - turn)))) | 0;
    }
    state = [(state[0] + a) | 0, (state[1] + b) | 0, (state[2] + c) | 0, (state[3] + d) | 0];
  }
  for (i = 0; i < 16; i++) hex += ('0' + ((state[i >> 2] >>> ((i % 4) * 8)) & 255).toString(16)).slice(-2);
  return hex;
}
"""
