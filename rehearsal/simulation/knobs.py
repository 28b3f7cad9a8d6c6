"""Fault knobs: settings with a check and a line of explanation each, turned while the simulator runs.

A knob is named `group.name` outside (`callback.drop`) and `group_name` inside.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

Check = Callable[[object], object]


class BadKnob(ValueError):
    """Unknown knob or a value it cannot take; the message says which."""


def flag(value: object) -> object:
    if not isinstance(value, bool):
        raise BadKnob("takes true or false")
    return value


def number(least: float = 0.0) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
            raise BadKnob(f"takes a number, {least:g} or more")
        return float(value)

    return check


def count(least: int = 0) -> Check:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadKnob(f"takes a whole number, {least} or more")
        return value

    return check


def one_of(*choices: str) -> Check:
    def check(value: object) -> object:
        if value not in choices:
            raise BadKnob(f"takes one of {', '.join(repr(c) for c in choices)}")
        return value

    return check


def names(*choices: str) -> Check:
    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or any(item not in choices for item in value):
            raise BadKnob(f"takes a list of {', '.join(choices)}")
        return tuple(value)

    return check


def knob(default: object, check: Check, doc: str) -> Any:
    return field(default=default, metadata={"check": check, "doc": doc})


@dataclass(frozen=True)
class KnobSet:
    """One consistent setting of every knob; a simulator's own class lists them as fields made by `knob`."""

    def changed(self, settings: Mapping[str, object]) -> Self:
        """A copy with `group.name` settings applied. Raises BadKnob."""
        known = {_outer(knob.name): knob for knob in dataclasses.fields(self)}
        changes: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in known:
                raise BadKnob(f"there is no knob {name!r}")
            try:
                changes[known[name].name] = known[name].metadata["check"](value)
            except BadKnob as refusal:
                raise BadKnob(f"{name} {refusal}") from None
        return dataclasses.replace(self, **changes)

    def as_json(self) -> dict[str, object]:
        return {_outer(knob.name): getattr(self, knob.name) for knob in dataclasses.fields(self)}

    @classmethod
    def described(cls) -> dict[str, str]:
        """Every knob with its one-line explanation, for the control API."""
        return {_outer(knob.name): str(knob.metadata["doc"]) for knob in dataclasses.fields(cls)}


def _outer(attribute: str) -> str:
    return attribute.replace("_", ".", 1)
