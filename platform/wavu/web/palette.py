"""From one brand colour to the accessible colours of a page, light and dark, as plain hex custom properties.

Contrast against white times contrast against black is always 21, so one of the two reaches 4.58 on any colour. A
brand colour therefore stays exactly as its owner chose it wherever it is a filled area; only the text on it, and its
use as text or as a line on a page, are derived. Old web views know neither oklch() nor color-mix(), hence hex.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

TEXT_RATIO = 4.5  # WCAG 2.2, 1.4.3
LINE_RATIO = 3.0  # WCAG 2.2, 1.4.11: borders of inputs, focus rings, the edge of what is chosen

_HEX = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
_SURFACES = ("bg", "surface", "surface-2")

# Every pair of tokens that the style sheets put on top of each other, and the contrast that it must have.
RULES: tuple[tuple[str, str, float], ...] = (
    *((text, under, TEXT_RATIO) for text in ("ink", "muted", "brand-text") for under in _SURFACES),
    *((text, "soft", TEXT_RATIO) for text in ("ink", "brand-text", "on-soft")),
    *(("on-brand", under, TEXT_RATIO) for under in ("brand", "brand-hover")),
    *((line, under, LINE_RATIO) for line in ("control", "focus") for under in _SURFACES),
    *(("edge", under, LINE_RATIO) for under in ("bg", "surface")),
    *((state, f"{state}-bg", TEXT_RATIO) for state in ("ok", "warn", "bad")),
    *((state, under, TEXT_RATIO) for state in ("ok", "warn", "bad") for under in _SURFACES),
    *(("ink", f"{state}-bg", TEXT_RATIO) for state in ("ok", "warn", "bad")),
    ("on-bad", "bad", TEXT_RATIO),
)

# What went well, what needs care and what failed look alike in every brand.
_STATES = {
    False: {
        "ok": "#116b3c",
        "ok-bg": "#e5f5ec",
        "warn": "#7a4a00",
        "warn-bg": "#fff3d9",
        "bad": "#a5181f",
        "bad-bg": "#fdeaea",
        "on-bad": "#ffffff",
    },
    True: {
        "ok": "#6fdb9f",
        "ok-bg": "#12301f",
        "warn": "#ffce70",
        "warn-bg": "#35260a",
        "bad": "#ff9d9d",
        "bad-bg": "#3b1416",
        "on-bad": "#2a0608",
    },
}

Tokens = Mapping[str, str]


class Failure(NamedTuple):
    """A pair of tokens that is too hard to tell apart."""

    token: str
    under: str
    wanted: float
    measured: float


@dataclass(frozen=True)
class Palette:
    """The tokens of one brand; keys are custom property names without the leading dashes."""

    light: Tokens
    dark: Tokens


class _Oklch(NamedTuple):
    """A colour by perceived lightness (0 to 1), chroma (0 is grey) and hue (radians)."""

    lightness: float
    chroma: float
    hue: float


@lru_cache(maxsize=1024)
def palette(brand: str) -> Palette:
    """The tokens for `#rgb` or `#rrggbb`. Raises ValueError for anything else."""
    color = _hex(_rgb(brand))
    return Palette(light=MappingProxyType(_derive(color, dark=False)), dark=MappingProxyType(_derive(color, dark=True)))


@lru_cache(maxsize=1024)
def stylesheet(brand: str) -> str:
    """The tokens as CSS: the reader's own light or dark, unless the page's `data-mode` says otherwise."""
    tokens = palette(brand)
    light, dark = _declarations(tokens.light), _declarations(tokens.dark)
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media(prefers-color-scheme:dark){{:root:not([data-mode=light]){{{dark}}}}}"
        f":root[data-mode=light]{{color-scheme:light}}:root[data-mode=dark]{{color-scheme:dark;{dark}}}"
    )


def compact(css: str) -> str:
    """A style sheet without comments and needless space. The source stays readable; this is what travels."""
    parts = re.split(r'("[^"]*")', re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))
    return "".join(part if part.startswith('"') else _squeeze(part) for part in parts).replace(";}", "}").strip()


def _squeeze(css: str) -> str:
    # Not before a colon or a parenthesis, where a space can be a descendant selector or part of `and (`.
    return re.sub(r" ?([{};,>]) ?|(?<=:) ", r"\1", re.sub(r"\s+", " ", css))


def check(tokens: Tokens) -> list[Failure]:
    """The rules that these tokens break: none, for any palette made here."""
    measured = ((token, under, ratio, contrast(tokens[token], tokens[under])) for token, under, ratio in RULES)
    return [Failure(*rule) for rule in measured if rule[3] < rule[2]]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _derive(brand: str, *, dark: bool) -> dict[str, str]:
    own = _to_oklch(brand)
    tokens = _surfaces(own, dark=dark)
    backs = [tokens[name] for name in _SURFACES]
    soft = _to_hex(_Oklch(0.30 if dark else 0.945, min(own.chroma, 0.05), own.hue))
    # Near-black would vanish on a dark page.
    filled = _to_hex(own._replace(lightness=0.42)) if dark and own.lightness < 0.35 else brand
    on_brand = "#ffffff" if contrast("#ffffff", filled) >= TEXT_RATIO else "#000000"
    grey = own._replace(chroma=min(own.chroma, 0.02))
    brand_text = _readable(own, TEXT_RATIO, [*backs, soft], dark=dark)
    tokens |= {
        "muted": _readable(grey._replace(lightness=0.72 if dark else 0.52), TEXT_RATIO, backs, dark=dark),
        "control": _readable(grey._replace(lightness=0.55 if dark else 0.62), LINE_RATIO, backs, dark=dark),
        "brand": filled,
        "on-brand": on_brand,
        "brand-hover": _away_from(on_brand, filled),
        "brand-text": brand_text,
        "soft": soft,
        "on-soft": _readable(_to_oklch(brand_text), TEXT_RATIO, [soft], dark=dark),
        "focus": _readable(own, LINE_RATIO, [*backs, soft], dark=dark),
        "edge": _readable(_to_oklch(filled), LINE_RATIO, backs[:2], dark=dark),
    }
    return tokens | _STATES[dark]


def _surfaces(brand: _Oklch, *, dark: bool) -> dict[str, str]:
    """Page, card and inset colours with a breath of the brand's hue in them."""
    tint, hue = min(brand.chroma, 0.012), brand.hue
    if dark:
        return {
            "bg": _to_hex(_Oklch(0.17, tint, hue)),
            "surface": _to_hex(_Oklch(0.215, tint, hue)),
            "surface-2": _to_hex(_Oklch(0.26, tint * 1.3, hue)),
            "line": _to_hex(_Oklch(0.36, tint, hue)),
            "ink": _to_hex(_Oklch(0.96, min(brand.chroma, 0.004), hue)),
        }
    return {
        "bg": _to_hex(_Oklch(0.975, tint * 0.6, hue)),
        "surface": "#ffffff",
        "surface-2": _to_hex(_Oklch(0.955, tint, hue)),
        "line": _to_hex(_Oklch(0.88, tint, hue)),
        "ink": _to_hex(_Oklch(0.24, min(brand.chroma, 0.03), hue)),
    }


def _readable(color: _Oklch, ratio: float, backs: Sequence[str], *, dark: bool) -> str:
    """The nearest lightness that reaches `ratio` on every background: darker on light pages, lighter on dark ones."""
    step = 0.01 if dark else -0.01
    lightness = color.lightness
    while 0 <= lightness <= 1:
        candidate = _to_hex(color._replace(lightness=lightness))
        if all(contrast(candidate, back) >= ratio for back in backs):
            return candidate
        lightness += step
    return "#ffffff" if dark else "#000000"


def _away_from(text: str, filled: str) -> str:
    """The hover colour: moved away from the text on it, so that its contrast only grows."""
    color = _to_oklch(filled)
    return _to_hex(color._replace(lightness=color.lightness + (0.06 if text == "#000000" else -0.06)))


def _declarations(tokens: Tokens) -> str:
    return "".join(f"--{name}:{value};" for name, value in tokens.items())


def _rgb(text: str) -> tuple[float, float, float]:
    match = _HEX.fullmatch(text.strip())
    if not match:
        raise ValueError("a colour is #rgb or #rrggbb")
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def _hex(rgb: Sequence[float]) -> str:
    return "#" + "".join(f"{round(min(max(channel, 0), 1) * 255):02x}" for channel in rgb)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _gamma(channel: float) -> float:
    return channel * 12.92 if channel <= 0.0031308 else float(1.055 * channel ** (1 / 2.4) - 0.055)


@lru_cache(maxsize=4096)
def _luminance(color: str) -> float:
    red, green, blue = map(_linear, _rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _to_oklch(color: str) -> _Oklch:
    # The matrices of Björn Ottosson's Oklab.
    red, green, blue = map(_linear, _rgb(color))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    return _Oklch(lightness, math.hypot(a, b), math.atan2(b, a))


def _linear_rgb(color: _Oklch) -> tuple[float, float, float]:
    a, b = color.chroma * math.cos(color.hue), color.chroma * math.sin(color.hue)
    long = (color.lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (color.lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (color.lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _to_hex(color: _Oklch) -> str:
    """The colour in hex, greyed as little as it takes to fit what a screen can show."""
    color = color._replace(lightness=min(max(color.lightness, 0), 1))
    rgb = _linear_rgb(color)
    while any(not -0.0001 <= channel <= 1.0001 for channel in rgb) and color.chroma > 0.001:
        color = color._replace(chroma=color.chroma * 0.93)
        rgb = _linear_rgb(color)
    return _hex([_gamma(min(max(channel, 0), 1)) for channel in rgb])
