"""Style sheets, scripts and icons: served from memory under names that carry their content's hash, for ever."""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Flask, Response, abort, current_app, request

from wavu.web.access import public
from wavu.web.palette import compact, stylesheet

SURFACES = "backoffice|console|front|portal"

bp = Blueprint("assets", __name__)


class Asset(NamedTuple):
    body: bytes
    zipped: bytes
    mimetype: str
    fingerprint: str


def source(path: Path) -> str:
    """The text of a file; of a folder, its parts one after the other in the order of their names."""
    parts = sorted(path.glob(f"*{path.suffix}")) if path.is_dir() else [path]
    return "".join(part.read_text() for part in parts)


def _make(name: str, text: str) -> Asset:
    body = (compact(text) if name.endswith(".css") else text).encode()
    fingerprint = hashlib.sha256(body).hexdigest()[:16]
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(body, gzip.compress(body, 9, mtime=0), kind, fingerprint)


@functools.lru_cache(256)
def _palette(brand: str) -> Asset:
    return _make("palette.css", stylesheet(f"#{brand}"))


def init_assets(app: Flask) -> None:
    folder = Path(__file__).parent / "static"
    app.extensions["assets"] = {
        path.name: _make(path.name, source(path))
        for path in sorted(folder.iterdir())
        if path.suffix in {".css", ".js", ".svg"}
    }
    app.register_blueprint(bp, subdomain=SURFACES)


def asset_url(name: str) -> str:
    """The address of one of our static files. Raises KeyError for what is not there."""
    asset: Asset = current_app.extensions["assets"][name]
    return f"/assets/{asset.fingerprint}/{name}"


def palette_url(brand: str) -> str:
    """The address of the colours made from a brand colour, `#rrggbb`."""
    return f"/assets/{_palette(brand[1:]).fingerprint}/palette-{brand[1:]}.css"


@bp.get("/assets/<fingerprint>/<name>")
@public()
def serve(fingerprint: str, name: str) -> Response:
    """Answers under any fingerprint, so that a page of the last release still finds its style; only the right one is
    kept for ever."""
    brand = re.fullmatch(r"palette-([0-9a-f]{6})\.css", name)
    found: Asset | None = _palette(brand[1]) if brand else current_app.extensions["assets"].get(name)
    if found is None:
        abort(404)
    zipped = request.accept_encodings["gzip"] > 0
    response = Response(found.zipped if zipped else found.body, mimetype=found.mimetype)
    if zipped:
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    kept = "public, max-age=31536000, immutable" if fingerprint == found.fingerprint else "public, max-age=60"
    response.headers["Cache-Control"] = kept
    return response
