"""The value of a program, and the key of an expression with symbols. Pure, and bounded.

Two expressions are the same when they agree at a few fixed pseudo-random points (identity
testing: Schwartz, 1980; Zippel, 1979). The points are fractions, so rational functions are
compared exactly; roots and functions are compared as floats, to six digits.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b

from .expression import Program
from .rounding import Value, number_key
from .tokens import Unreadable

BITS = 4096
"""Exact values longer than this go on as floats."""
LARGEST_FACTORIAL = 400
POINTS = 5
"""At the first, all symbols are positive: √x·√y = √(xy) holds there only, and |x| = x as well."""

_DUST = 1e-12
"""What is left of a difference of floats that is nothing, against the operands."""
_DEGREE = math.pi / 180


def evaluate(program: Program, point: Mapping[str, Value]) -> Value:
    """The program's value where its symbols have these values.

    Raises `Unreadable` where there is none: division by zero, overflow, a factorial of 1/2.
    """
    stack: list[Value] = []
    try:
        for operation, operand in program.steps:
            if isinstance(operand, Fraction):
                stack.append(operand)
            elif operand is not None:
                stack.append(point[operand])
            elif operation in _CONSTANTS:
                stack.append(_CONSTANTS[operation])
            elif operation in _BINARY:
                right = stack.pop()
                stack.append(_fit(_BINARY[operation](stack.pop(), right)))
            else:
                stack.append(_fit(_UNARY[operation](stack.pop())))
    except (ArithmeticError, ValueError) as error:
        raise Unreadable(str(error)) from error
    return stack[0]


def expression_key(value: Callable[[Mapping[str, Value]], Value], symbols: Sequence[str]) -> str:
    """The key of what has this value at each point; a constant's is the key of its number.

    Raises `Unreadable` where it has no value at one of the points.
    """
    try:
        keys = [
            number_key(value({name: _coordinate(name, place) for name in symbols}))
            for place in range(POINTS if symbols else 1)
        ]
    except (ArithmeticError, ValueError) as error:
        raise Unreadable(str(error)) from error
    return keys[0] if len(set(keys)) == 1 else "x:" + "|".join(key[2:] for key in keys)


@lru_cache(maxsize=4096)
def _coordinate(name: str, place: int) -> Fraction:
    """Between 0.4 and 2 in size; each symbol is negative at some points, not all at the same."""
    digest = blake2b(f"{name} {place}".encode(), digest_size=4).digest()
    size = Fraction(1000 + int.from_bytes(digest) % 4001, 2503)
    signs = blake2b(name.encode(), digest_size=1).digest()[0]
    negative = place > 0 and bool((signs >> (place - 1) // 2 & 1) ^ (place & 1))
    return -size if negative else size


def _fit(value: Value) -> Value:
    if isinstance(value, Fraction):
        size = value.numerator.bit_length() + value.denominator.bit_length()
        return value if size <= BITS else complex(value)
    if not cmath.isfinite(value):
        raise OverflowError("too large")
    return value


def add(left: Value, right: Value) -> Value:
    """The sum; what floats leave of a difference that is nothing is nothing."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left + right
    total = complex(left) + complex(right)
    dust = _DUST * max(abs(complex(left)), abs(complex(right)))
    return _without(dust, total)


def _without(dust: float, value: complex) -> complex:
    return complex(
        0.0 if abs(value.real) <= dust else value.real,
        0.0 if abs(value.imag) <= dust else value.imag,
    )


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left * right
    return complex(left) * complex(right)


def divide(left: Value, right: Value) -> Value:
    """The quotient. Raises `ZeroDivisionError`."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left / right
    return complex(left) / complex(right)


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        exact = _exact_power(base, exponent)
        if exact is not None:
            return exact
    plain = complex(base)
    if isinstance(exponent, Fraction) and not plain.imag and plain.real < 0:
        if exponent.denominator % 2 and exponent.denominator > 1:
            root = math.pow(-plain.real, exponent)
            return complex(-root if exponent.numerator % 2 else root)
        if exponent.denominator == 2:
            return cmath.sqrt(plain) ** int(exponent.numerator)
    return plain ** complex(exponent)


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The power, where it is rational and not too long; odd roots of negatives are real."""
    degree, times = exponent.denominator, exponent.numerator
    if degree > 1:
        if base < 0 and degree % 2 == 0:
            return None
        over, under = _root(abs(base.numerator), degree), _root(base.denominator, degree)
        if over is None or under is None:
            return None
        base = Fraction(-over if base < 0 else over, under)
    if base in (1, -1):
        return base if times % 2 else Fraction(1)
    if base == 0:
        if times < 0:
            raise ZeroDivisionError("a negative power of zero")
        return Fraction(not times)
    size = base.numerator.bit_length() + base.denominator.bit_length()
    return Fraction(base**times) if abs(times) * size <= 2 * BITS else None


def _root(value: int, degree: int) -> int | None:
    """The whole root of a whole number, or None."""
    if value.bit_length() > 1000:
        return None
    root = math.isqrt(value) if degree == 2 else round(value ** (1 / degree))
    if root > 1 and degree > 1000:
        return None
    return root if root**degree == value else None


def _whole(value: Value) -> int:
    if not isinstance(value, Fraction) or value.denominator != 1:
        raise ValueError("not a whole number")
    return value.numerator


def _factorial(value: Value) -> Value:
    number = _whole(value)
    if not 0 <= number <= LARGEST_FACTORIAL:
        raise ValueError("a factorial that is not worked out")
    return Fraction(math.factorial(number))


def _binomial(left: Value, right: Value) -> Value:
    if max(_whole(left), _whole(right)) > LARGEST_FACTORIAL:
        raise ValueError("a binomial that is not worked out")
    return Fraction(math.comb(_whole(left), _whole(right)))


def _real(value: Value) -> float | Fraction:
    if isinstance(value, complex):
        if value.imag:
            raise ValueError("not real")
        nearest = round(value.real)
        return nearest if abs(value.real - nearest) < _DUST * max(1, abs(nearest)) else value.real
    return value


def _periodic(function: Callable[[complex], complex]) -> Callable[[Value], Value]:
    """Near a zero far from the origin, floats leave dust: sin π is 1e-16."""

    def of(value: Value) -> Value:
        angle = complex(value)
        dust = 1e-14 * abs(angle) if abs(angle) > 0.5 else 0.0
        return _without(dust, function(angle))

    return of


def _plain(function: Callable[[complex], complex]) -> Callable[[Value], Value]:
    return lambda value: function(complex(value))


def _absolute(value: Value) -> Value:
    return abs(value) if isinstance(value, Fraction) else complex(abs(value))


_CONSTANTS: Mapping[str, Value] = {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}
_BINARY: Mapping[str, Callable[[Value, Value], Value]] = {
    "+": add,
    "-": lambda left, right: add(left, -right),
    "*": _multiply,
    "/": divide,
    "^": _power,
    "binom": _binomial,
    "logarithm": lambda base, value: cmath.log(complex(value)) / cmath.log(complex(base)),
}
_UNARY: Mapping[str, Callable[[Value], Value]] = {
    "negate": lambda value: -value,
    "!": _factorial,
    "%": lambda value: divide(value, Fraction(100)),
    "°": lambda value: complex(value) * _DEGREE,
    "abs": _absolute,
    "floor": lambda value: Fraction(math.floor(_real(value))),
    "ceil": lambda value: Fraction(math.ceil(_real(value))),
    "sin": _periodic(cmath.sin),
    "cos": _periodic(cmath.cos),
    "tan": _periodic(cmath.tan),
    "cot": _periodic(lambda angle: cmath.cos(angle) / cmath.sin(angle)),
    "sec": _periodic(lambda angle: 1 / cmath.cos(angle)),
    "csc": _periodic(lambda angle: 1 / cmath.sin(angle)),
    "arcsin": _plain(cmath.asin),
    "arccos": _plain(cmath.acos),
    "arctan": _plain(cmath.atan),
    "sinh": _plain(cmath.sinh),
    "cosh": _plain(cmath.cosh),
    "tanh": _plain(cmath.tanh),
    "ln": _plain(cmath.log),
    "log": _plain(cmath.log),
    "exp": _plain(cmath.exp),
}
