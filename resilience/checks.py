"""Refusing nonsense at construction, by the field's name. A bool is no number here."""

import math


def above_zero(**fields: float) -> None:
    """Raise ValueError for a field that is not a finite number above 0."""
    for name, value in fields.items():
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{name}: {value}, must be above 0")


def not_negative(**fields: float) -> None:
    """Raise ValueError for a field that is not a finite number from 0."""
    for name, value in fields.items():
        if not (_is_number(value) and value >= 0):
            raise ValueError(f"{name}: {value}, must be 0 or more")


def share(**fields: float) -> None:
    """Raise ValueError for a field that is not above 0 and at most 1."""
    for name, value in fields.items():
        if not (_is_number(value) and 0 < value <= 1):
            raise ValueError(f"{name}: {value}, must be above 0 and at most 1")


def whole(**fields: float) -> None:
    """Raise ValueError for a field that is not a whole number."""
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name}: {value!r}, must be a whole number")


def _is_number(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)
