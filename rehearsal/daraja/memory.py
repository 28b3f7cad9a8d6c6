"""What organisations have registered, kept in a file: Safaricom does not forget it when a rehearsal stops."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .parties import C2bUrls, Merchant


class Memory:
    """Nothing is kept where there is no path. A file that cannot be read counts as empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def keep(self, merchants: Iterable[Merchant]) -> None:
        if self._path is None:
            return
        known = {
            one.shortcode: {"urls": asdict(one.urls) if one.urls is not None else None, "pulls": one.pulls}
            for one in merchants
        }
        new = self._path.with_name(f".{self._path.name}.new")
        new.write_text(json.dumps(known, indent=1), encoding="utf-8")
        new.replace(self._path)

    def recall(self, merchant: Merchant) -> None:
        """Gives a merchant back what was kept for its shortcode."""
        if self._path is None:
            return
        try:
            known: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8")).get(merchant.shortcode, {})
        except (OSError, ValueError):
            return
        merchant.urls = C2bUrls(**known["urls"]) if known.get("urls") else None
        merchant.pulls = bool(known.get("pulls"))
