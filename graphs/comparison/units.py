"""Units of measure: what they are called, and what one of each is in base units. Pure.

A table, not a library: these are the units that questions ask for, and they load in no time.
Three kinds are plain numbers, since answers leave them out as often as not: per cent, degrees of
angle, and dollars. So 50 % is 0.5, 60° is 60, and $5 is 5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from .rounding import Value, number_key

Dimensions = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: a value times `factor` plus `offset` is the value in base units."""

    factor: Value
    dimensions: Dimensions = ()
    """Base quantities with their exponents, sorted; empty: a plain number."""
    offset: Fraction = Fraction(0)
    """Of temperatures that do not start at absolute zero."""


PERCENT: Final = Unit(Fraction(1, 100))
DEGREE: Final = Unit(Fraction(1))
DOLLAR: Final = Unit(Fraction(1))
TEMPERATURE: Final[Dimensions] = (("temperature", 1),)

_LONGEST = 60
"""Characters of a unit."""


def unit(text: str) -> Unit | None:
    """The unit that a text names: `km/h`, `meters per second`, `kg m^{-3}`; None: no known unit."""
    if not text or len(text) > _LONGEST:
        return None
    text = _REWRITTEN.sub(lambda found: _REWRITES[_key(found[0])], text.strip())
    alone = _named(text)
    if alone is not None:
        return alone
    return _product(text)


def measure_key(value: Value, of: Unit | None) -> str:
    """The key of so many of a unit. Raises what `number_key` raises."""
    if of is None:
        return number_key(value)
    base: Value
    if isinstance(value, Fraction) and isinstance(of.factor, Fraction):
        base = value * of.factor + of.offset
    else:
        base = complex(value) * complex(of.factor) + float(of.offset)
    key = number_key(base)
    if not of.dimensions:
        return key
    return f"q:{key[2:]} " + " ".join(f"{name}{power}" for name, power in of.dimensions)


_TOKEN = re.compile(
    r"\s*(?:(per|square|sq\.?|cubic|cu\.?)(?![a-z])|([^\W\d_]+|°[CF]?|[%€£¥₹$])\.?|([-*/()·]))"
    r"\s*(?:(squared|cubed)|\^?\s*\{?\s*([+-]?[1-9])\s*\}?)?",
    re.I,
)


def _product(text: str) -> Unit | None:
    """A product of units and their powers; what follows `/` or `per` divides, a bracket as one."""
    factor: Value = Fraction(1)
    powers: dict[str, int] = {}
    position, divides, bracketed, pending = 0, False, False, 1
    read = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        position = match.end()
        word, name, mark, spelled, raised = match.groups()
        if mark and (spelled or raised):
            return None
        if mark == "(":
            bracketed = True
        elif mark == ")":
            bracketed = divides = False
        elif mark == "/" or (word and word.lower() == "per"):
            if not read and word:
                return None
            divides = True
        elif mark:
            continue
        elif word:
            pending = 2 if word.lower().startswith("sq") else 3
        else:
            one = _named(name)
            if one is None:
                return None
            power = pending * {"squared": 2, "cubed": 3}.get((spelled or "").lower(), 1)
            power *= int(raised or 1) * (-1 if divides else 1)
            factor = _times(factor, one.factor, power)
            for base, exponent in one.dimensions:
                powers[base] = powers.get(base, 0) + exponent * power
            pending, read = 1, read + 1
            divides = divides and bracketed
    if not read or divides or pending > 1 or any(abs(power) > 12 for power in powers.values()):
        return None
    return Unit(factor, tuple(sorted((name, power) for name, power in powers.items() if power)))


def _times(factor: Value, other: Value, power: int) -> Value:
    if isinstance(factor, Fraction) and isinstance(other, Fraction):
        return factor * Fraction(other**power)
    return complex(factor) * complex(other) ** power


def _named(name: str) -> Unit | None:
    """A unit by its symbol, else by its name or its symbol in other capitals."""
    return _SYMBOLS.get(name) or _NAMES.get(_key(name))


def _key(name: str) -> str:
    return " ".join(name.casefold().split())


_L, _M, _T, _I = "length", "mass", "time", "current"
_ENERGY = {_M: 1, _L: 2, _T: -2}

_PREFIXES = {
    "T": ("tera", 12),
    "G": ("giga", 9),
    "M": ("mega", 6),
    "k": ("kilo", 3),
    "c": ("centi", -2),
    "d": ("deci", -1),
    "m": ("milli", -3),
    "μ": ("micro", -6),
    "µ": ("micro", -6),
    "u": ("micro", -6),
    "n": ("nano", -9),
    "p": ("pico", -12),
    "h": ("hecto", 2),
}

_PREFIXED: tuple[tuple[str, str, str, Mapping[str, int]], ...] = (
    # symbol, names, what one is, dimensions
    ("m", "meter metre", "1", {_L: 1}),
    ("g", "gram gramme", "1/1000", {_M: 1}),
    ("s", "second", "1", {_T: 1}),
    ("L", "liter litre", "1/1000", {_L: 3}),
    ("l", "", "1/1000", {_L: 3}),
    ("A", "ampere amp", "1", {_I: 1}),
    ("K", "kelvin", "1", {"temperature": 1}),
    ("mol", "mole", "1", {"amount": 1}),
    ("N", "newton", "1", {_M: 1, _L: 1, _T: -2}),
    ("Pa", "pascal", "1", {_M: 1, _L: -1, _T: -2}),
    ("J", "joule", "1", _ENERGY),
    ("W", "watt", "1", {_M: 1, _L: 2, _T: -3}),
    ("Wh", "watt-hour", "3600", _ENERGY),
    ("eV", "electronvolt", "1.602176634e-19", _ENERGY),
    ("cal", "calorie", "4.184", _ENERGY),
    ("Hz", "hertz", "1", {_T: -1}),
    ("C", "coulomb", "1", {_I: 1, _T: 1}),
    ("V", "volt", "1", {_M: 1, _L: 2, _T: -3, _I: -1}),
    ("Ω", "ohm", "1", {_M: 1, _L: 2, _T: -3, _I: -2}),
    ("F", "farad", "1", {_M: -1, _L: -2, _T: 4, _I: 2}),
    ("H", "henry", "1", {_M: 1, _L: 2, _T: -2, _I: -2}),
    ("Wb", "weber", "1", {_M: 1, _L: 2, _T: -2, _I: -1}),
    ("T", "tesla", "1", {_M: 1, _T: -2, _I: -1}),
    ("bit", "", "1", {"bit": 1}),
    ("B", "byte", "8", {"bit": 1}),
    ("bar", "", "100000", {_M: 1, _L: -1, _T: -2}),
)
_NOT_ALONE = frozenset({"l", "T", "B", "H", "F"})
"""Letters that are more often something else when they stand alone after a number."""
_NOT_PREFIXED = frozenset({"pm", "dB"})
"""The afternoon, and a logarithm."""
_ANY_CAPITALS = ("km", "kg", "cm", "mm", "mL", "ft", "lb", "oz", "mph", "min", "hr", "hrs", "kWh")

_OTHERS: tuple[tuple[str, str, str, Mapping[str, int]], ...] = (
    # symbols, names, what one is, dimensions
    ("min", "minute", "60", {_T: 1}),
    ("h hr hrs", "hour", "3600", {_T: 1}),
    ("sec secs mins", "", "1", {_T: 1}),
    ("", "day", "86400", {_T: 1}),
    ("wk", "week", "604800", {_T: 1}),
    ("", "fortnight", "1209600", {_T: 1}),
    ("mo", "month", "1", {"month": 1}),
    ("yr yrs", "year", "12", {"month": 1}),
    ("", "decade", "120", {"month": 1}),
    ("", "century", "1200", {"month": 1}),
    ("", "centuries", "1200", {"month": 1}),
    ("in", "inch inche", "0.0254", {_L: 1}),
    ("ft", "foot", "0.3048", {_L: 1}),
    ("", "feet", "0.3048", {_L: 1}),
    ("yd", "yard", "0.9144", {_L: 1}),
    ("mi", "mile", "1609.344", {_L: 1}),
    ("nmi", "", "1852", {_L: 1}),
    ("ly", "lightyear", "9460730472580800", {_L: 1}),
    ("AU", "", "149597870700", {_L: 1}),
    ("pc", "parsec", "3.0856775814913673e16", {_L: 1}),
    ("Å", "angstrom ångström", "1e-10", {_L: 1}),
    ("", "micron", "1e-6", {_L: 1}),
    ("ha", "hectare", "10000", {_L: 2}),
    ("ac", "acre", "4046.8564224", {_L: 2}),
    ("cc", "", "1e-6", {_L: 3}),
    ("gal", "gallon", "0.003785411784", {_L: 3}),
    ("qt", "quart", "0.000946352946", {_L: 3}),
    ("pt", "pint", "0.000473176473", {_L: 3}),
    ("", "cup", "0.0002365882365", {_L: 3}),
    ("tbsp", "tablespoon", "0.00001478676478125", {_L: 3}),
    ("tsp", "teaspoon", "0.00000492892159375", {_L: 3}),
    ("floz", "", "0.0000295735295625", {_L: 3}),
    ("lb lbs", "pound", "0.45359237", {_M: 1}),
    ("oz", "ounce", "0.028349523125", {_M: 1}),
    ("", "ton", "907.18474", {_M: 1}),
    ("", "tonne", "1000", {_M: 1}),
    ("kgs", "kilo", "1", {_M: 1}),
    ("u amu Da", "dalton", "1.66053906892e-27", {_M: 1}),
    ("kph kmh kmph", "", "5/18", {_L: 1, _T: -1}),
    ("mph", "", "0.44704", {_L: 1, _T: -1}),
    ("kn kt", "knot", "463/900", {_L: 1, _T: -1}),
    ("rpm", "", "1/60", {_T: -1}),
    ("atm", "atmosphere", "101325", {_M: 1, _L: -1, _T: -2}),
    ("mmHg torr", "", "133.322387415", {_M: 1, _L: -1, _T: -2}),
    ("psi", "", "6894.757293168", {_M: 1, _L: -1, _T: -2}),
    ("hp", "horsepower", "745.69987158227", {_M: 1, _L: 2, _T: -3}),
    ("BTU Btu", "", "1055.05585262", _ENERGY),
    ("M", "molar", "1000", {"amount": 1, _L: -3}),
    ("KB", "", "8000", {"bit": 1}),
    ("KiB", "kibibyte", "8192", {"bit": 1}),
    ("MiB", "mebibyte", "8388608", {"bit": 1}),
    ("GiB", "gibibyte", "8589934592", {"bit": 1}),
    ("Mbps", "", "1e6", {"bit": 1, _T: -1}),
    ("Gbps", "", "1e9", {"bit": 1, _T: -1}),
    ("€ EUR", "euro", "1", {"EUR": 1}),
    ("£ GBP", "", "1", {"GBP": 1}),
    ("¥ JPY", "yen", "1", {"JPY": 1}),
    ("₹ INR", "rupee", "1", {"INR": 1}),
    ("CNY RMB", "yuan", "1", {"CNY": 1}),
    ("CHF", "franc", "1", {"CHF": 1}),
)

_REWRITES = {
    "degrees celsius": "°C",
    "degree celsius": "°C",
    "degrees c": "°C",
    "° c": "°C",
    "degrees fahrenheit": "°F",
    "degree fahrenheit": "°F",
    "degrees f": "°F",
    "° f": "°F",
    "percentage points": "percent",
    "percentage point": "percent",
    "per cent": "percent",
    "us dollars": "USD",
    "us$": "USD",
    "nautical miles": "nmi",
    "nautical mile": "nmi",
    "light years": "ly",
    "light-years": "ly",
    "light year": "ly",
    "light-year": "ly",
    "fluid ounces": "floz",
    "fluid ounce": "floz",
    "fl oz": "floz",
    "kilowatt hours": "kWh",
    "kilowatt-hours": "kWh",
    "kilowatt hour": "kWh",
    "kilowatt-hour": "kWh",
    "metric tons": "tonne",
    "metric ton": "tonne",
    "pounds sterling": "GBP",
}
_REWRITTEN = re.compile(
    "|".join(
        re.escape(name).replace("\\ ", r"\s") + r"(?![^\W\d_])"
        for name in sorted(_REWRITES, key=len, reverse=True)
    ),
    re.I,
)


def _sorted(dimensions: Mapping[str, int]) -> Dimensions:
    return tuple(sorted(dimensions.items()))


def _tables() -> tuple[dict[str, Unit], dict[str, Unit]]:
    """Units by symbol, in which capitals matter, and by name, in which they do not."""
    symbols: dict[str, Unit] = {}
    names: dict[str, Unit] = {}

    def add_name(name: str, unit: Unit) -> None:
        for form in (name, name + "s"):
            names.setdefault(form, unit)

    for symbol, called, one, dimensions in _PREFIXED:
        size, base = Fraction(one), _sorted(dimensions)
        if symbol not in _NOT_ALONE:
            symbols[symbol] = Unit(size, base)
        for name in called.split():
            add_name(name, Unit(size, base))
        for prefix, (long, power) in _PREFIXES.items():
            scaled = Unit(size * Fraction(10) ** power, base)
            if prefix + symbol not in _NOT_PREFIXED:
                symbols.setdefault(prefix + symbol, scaled)
            for name in called.split():
                add_name(long + name, scaled)
    for written, called, one, dimensions in _OTHERS:
        other = Unit(Fraction(one), _sorted(dimensions))
        symbols |= dict.fromkeys(written.split(), other)
        for name in called.split():
            add_name(name, other)
    symbols["mins"] = symbols["min"]
    symbols["°C"] = Unit(Fraction(1), TEMPERATURE, Fraction("273.15"))
    symbols["°F"] = Unit(Fraction(5, 9), TEMPERATURE, Fraction("459.67") * Fraction(5, 9))
    names |= {"celsius": symbols["°C"], "fahrenheit": symbols["°F"]}
    names |= dict.fromkeys(("%", "percent", "pct"), PERCENT)
    names |= dict.fromkeys(("°", "deg", "degree", "degrees"), DEGREE)
    names |= dict.fromkeys(("rad", "rads", "radian", "radians"), Unit(complex(180 / math.pi)))
    names |= dict.fromkeys(("$", "usd", "dollar", "dollars", "bucks"), DOLLAR)
    names |= dict.fromkeys(("cent", "cents", "¢"), Unit(Fraction(1, 100)))
    names |= {symbol.casefold(): symbols[symbol] for symbol in _ANY_CAPITALS}
    return symbols, names


_SYMBOLS, _NAMES = _tables()
