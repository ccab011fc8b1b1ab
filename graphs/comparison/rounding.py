"""Keys of numbers: what agrees to six significant digits shares one. Pure."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction

Value = Fraction | complex
"""A number, exact where it can be."""

DIGITS = 6
"""Significant digits that count; a whole number counts to its last digit."""
EXACT_BELOW = 10**15
"""From here on, a whole number of few digits is a rounded figure, as 6.022e23 is."""
FEW_DIGITS = 10

_FINE = Context(prec=12, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Rounded to this first: exact values and floats near a boundary then fall on the same side."""
_COARSE = Context(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)
_DUST = 1e-11
"""A part of a complex number this small against the whole is an error of floats."""


def number_key(value: Value) -> str:
    """The key of a number.

    Raises `ValueError` for what is no number (nan), and `OverflowError` for an infinite one.
    """
    if isinstance(value, Fraction):
        return f"n:{_of_fraction(value)}"
    size = abs(value)
    real = 0.0 if abs(value.real) <= _DUST * size else value.real
    imaginary = 0.0 if abs(value.imag) <= _DUST * size else value.imag
    if not imaginary:
        return f"n:{_of_float(real)}"
    return f"n:{_of_float(real)}+{_of_float(imaginary)}i"


def _of_fraction(value: Fraction) -> str:
    if value.denominator > 1:
        return _of_fine(_FINE.divide(Decimal(value.numerator), Decimal(value.denominator)))
    whole = str(value.numerator)
    if abs(value.numerator) < EXACT_BELOW or len(whole.strip("-").rstrip("0")) > FEW_DIGITS:
        return whole
    return _written(_COARSE.plus(_FINE.plus(Decimal(value.numerator))))


def _of_float(value: float) -> str:
    fine = Decimal(f"{value:.11e}")
    if not fine.is_finite():
        raise OverflowError(f"{value} has no key: it is not finite")
    return _of_fine(fine)


def _of_fine(fine: Decimal) -> str:
    """Six digits, and never coarser than to units: 1234567.4 is near 1234567, not 1234570."""
    if fine.adjusted() < DIGITS or fine.adjusted() >= _FINE.prec - 1:
        return _written(_COARSE.plus(fine))
    return _written(fine.to_integral_value())


def _written(value: Decimal) -> str:
    if value == value.to_integral_value() and abs(value) < EXACT_BELOW:
        return str(int(value))
    return str(value.normalize(_FINE))
