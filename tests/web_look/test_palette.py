"""Any brand colour gives readable pages, light and dark."""

from __future__ import annotations

import pytest

from wavu.web.palette import check, compact, contrast, palette, stylesheet

# The corners of the colour space, greys, well-known brands, and a few hundred spread evenly over the rest.
AWKWARD = ["#000", "#fff", "#f00", "#0f0", "#00f", "#ff0", "#0ff", "#f0f", "#777777", "#808080", "#f6c400", "#fefefe"]
SPREAD = [f"#{number * 0x9E3779B1 & 0xFFFFFF:06x}" for number in range(1, 401)]


def test_every_pair_of_colours_can_be_told_apart() -> None:
    failures = {
        (brand, mode): failed
        for brand in (*AWKWARD, *SPREAD)
        for mode, tokens in (("light", palette(brand).light), ("dark", palette(brand).dark))
        if (failed := check(tokens))
    }
    assert failures == {}


def test_a_check_names_what_fails() -> None:
    spoilt = dict(palette("#00853e").light) | {"muted": "#dddddd"}
    assert {failure.token for failure in check(spoilt)} == {"muted"}


def test_buttons_keep_the_brand_colour_exactly() -> None:
    assert palette("#F6C400").light["brand"] == "#f6c400"


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_near_black_is_lifted_on_a_dark_page() -> None:
    tokens = palette("#0a0a0a").dark
    assert contrast(tokens["brand"], tokens["bg"]) > 1.5


@pytest.mark.parametrize("text", ["", "green", "#12", "#12345g", "red;}body{display:none", "#00853e;"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a colour is"):
        palette(text)


def test_the_style_sheet_has_every_token_twice_over() -> None:
    css = stylesheet("#00853e")
    assert css.count("--brand-text:") == 3  # light, the system's dark, the reader's own dark
    assert css.count("{") == css.count("}")


def test_compacting_keeps_the_meaning() -> None:
    source = """
    /* a note */
    .a > .b, .c :hover { margin: calc(1rem + 2px) ; content: ": " }
    @media (min-width: 3em) and (hover) { .d { top: 0; } }
    """
    assert compact(source) == (
        '.a>.b,.c :hover{margin:calc(1rem + 2px);content:": "}@media (min-width:3em) and (hover){.d{top:0}}'
    )
