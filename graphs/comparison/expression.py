"""Reading an expression, LaTeX or plain, into a program for a stack. Pure.

A reader of our own, since general parsers evaluate while they read, and need threads or signals
to survive `9**9**9**9`. Here the work is bounded by construction: length, depth and operands.

`e` and `i` are the constants; `log` is the natural logarithm, as in most symbolic software.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .numerals import number
from .tokens import Token, Unreadable, tokens

LONGEST = 400
"""Characters of an expression."""
DEEPEST = 40
"""Levels of brackets, exponents and functions."""

_FUNCTION_NAMES = (
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp sqrt abs floor ceil"
)
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda"
    " mu nu xi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi"
    " Sigma Phi Psi Omega ell"
)
_GREEK = frozenset(_GREEK_NAMES.split())
_LETTERS = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "θ": "theta",
    "λ": "lambda",
    "μ": "mu",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
    "ω": "omega",
    "Δ": "Delta",
    "Ω": "Omega",
}
_SHORT_WORDS = "of to or is in at on by no as an am pm be do go he if it me my so up us we vs ok"
_ENGLISH = frozenset(_SHORT_WORDS.split())
_CLOSES = {"(": ")", "{": "}", "[": "]", "|": "|"}


Step = tuple[str, Fraction | str | None]
"""`("number", value)`, `("symbol", name)`, or an operation on what is on the stack."""


@dataclass(frozen=True, slots=True)
class Program:
    """An expression, ready to be evaluated."""

    steps: tuple[Step, ...]
    symbols: frozenset[str]

    @property
    def symbol(self) -> str | None:
        """The symbol that it is, where it is nothing but one."""
        return next(iter(self.symbols)) if len(self.steps) == 1 and self.symbols else None


def read(text: str) -> Program | None:
    """The program of an expression; None where it is none, or too long or deep to read."""
    if not text or len(text) > LONGEST:
        return None
    try:
        return _Reader(text).program()
    except Unreadable:
        return None


class _Reader:
    """Recursive descent; emits the steps in the order in which they are to be done."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.position = 0
        self.depth = 0
        self.bars = 0
        """Absolute values that are open: the next bar closes one."""
        self.steps: list[Step] = []
        self.symbols: set[str] = set()

    def program(self) -> Program:
        self.sum()
        if self.next.kind != "end":
            raise Unreadable(self.next.text)
        return Program(tuple(self.steps), frozenset(self.symbols))

    @property
    def next(self) -> Token:
        if self.position < len(self.tokens):
            return self.tokens[self.position]
        return Token("end", "", False)

    def take(self, *marks: str) -> str:
        """The mark that comes next, taken, if it is one of these; else empty."""
        token = self.next
        if token.kind == "mark" and token.text in marks:
            self.position += 1
            return token.text
        return ""

    def emit(self, operation: str, value: Fraction | str | None = None) -> None:
        self.steps.append((operation, value))

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("too deep")

    def sum(self) -> None:
        self.enter()
        self.signed()
        while sign := self.take("+", "-"):
            self.signed()
            self.emit(sign)
        self.depth -= 1

    def signed(self) -> None:
        """A product, with any number of signs before it."""
        negative = False
        while sign := self.take("+", "-"):
            negative ^= sign == "-"
        self.product()
        if negative:
            self.emit("negate")

    def product(self) -> None:
        self.power()
        while True:
            if mark := self.take("*", "/"):
                negative = False
                while sign := self.take("+", "-"):
                    negative ^= sign == "-"
                self.power()
                if negative:
                    self.emit("negate")
                self.emit(mark)
            elif self.starts_factor():
                self.power()
                self.emit("*")
            else:
                return

    def starts_factor(self) -> bool:
        """Whether what comes next multiplies what was before, unwritten.

        A number does not: x2 and NO2 are names, not products.
        """
        token = self.next
        if token.kind == "mark":
            return token.text in ("(", "{", "[") or (token.text == "|" and not self.bars)
        return token.kind in ("word", "command")

    def power(self) -> None:
        self.atom()
        while mark := self.take("!", "%", "°"):
            self.emit(mark)
        if self.take("^", "**"):
            self.exponent()
            self.emit("^")
            while mark := self.take("!"):
                self.emit(mark)

    def exponent(self) -> None:
        self.enter()
        negative = False
        while sign := self.take("+", "-"):
            negative ^= sign == "-"
        self.power()
        if negative:
            self.emit("negate")
        self.depth -= 1

    def atom(self) -> None:
        token = self.next
        self.position += 1
        if token.kind == "number":
            self.number(token)
        elif token.kind == "mark" and token.text in _CLOSES:
            self.bracket(token.text)
        elif token.kind == "command":
            self.command(token.text)
        elif token.kind == "word":
            self.word(token)
        else:
            raise Unreadable(token.text)

    def number(self, token: Token) -> None:
        value = number(token.text)
        if value is None:
            raise Unreadable(token.text)
        self.emit("number", value)
        follower = self.next
        if follower.kind == "command" and follower.text == "frac" and token.text.isdigit():
            before = len(self.steps)
            self.atom()
            plain = [step for step, _ in self.steps[before:]] == ["number", "number", "/"]
            self.emit("+" if plain else "*")

    def bracket(self, opening: str) -> None:
        bars, self.bars = self.bars, int(opening == "|")
        self.sum()
        if not self.take(_CLOSES[opening]):
            raise Unreadable("a bracket is not closed")
        self.bars = bars
        if opening == "|":
            self.emit("abs")

    def argument(self) -> None:
        """What one LaTeX command takes: a group, or the next atom."""
        self.enter()
        self.atom()
        self.depth -= 1

    def command(self, name: str) -> None:
        if name in ("frac", "binom"):
            self.argument()
            self.argument()
            self.emit("/" if name == "frac" else "binom")
        elif name == "sqrt":
            self.root()
        elif name in FUNCTIONS or name in _NAMES:
            self.function(_NAMES.get(name, name))
        elif name.partition("_")[0] in _GREEK:
            self.symbol(name)
        else:
            raise Unreadable(name)

    def root(self) -> None:
        degree: list[Step] = [("number", Fraction(2))]
        if self.take("["):
            before = len(self.steps)
            self.sum()
            if not self.take("]"):
                raise Unreadable("the degree of a root is not closed")
            degree, self.steps[before:] = self.steps[before:], []
        self.argument()
        self.emit("number", Fraction(1))
        self.steps.extend(degree)
        self.emit("/")
        self.emit("^")

    def function(self, name: str) -> None:
        if name == "sqrt":
            self.root()
            return
        self.enter()
        base = name == "log" and (bool(self.take("_")) or self.written_base())
        if base:
            self.argument()
        raised: list[Step] = []
        if self.take("^", "**"):
            before = len(self.steps)
            self.exponent()
            raised, self.steps[before:] = self.steps[before:], []
        token = self.next
        if token.kind == "mark" and token.text in _CLOSES:
            self.atom()
        else:
            self.bare_argument()
        if raised == [("number", Fraction(1)), ("negate", None)] and name in ("sin", "cos", "tan"):
            self.emit(f"arc{name}")
        else:
            self.emit("logarithm" if base else name)
            if raised:
                self.steps.extend(raised)
                self.emit("^")
        self.depth -= 1

    def written_base(self) -> bool:
        """Whether a base follows as in log2(8)."""
        base, after = self.next, self.tokens[self.position + 1 : self.position + 2]
        return base.kind == "number" and base.tight and bool(after) and after[0].text == "("

    def bare_argument(self) -> None:
        """The argument of `sin 2x`: factors up to a sign or the next function."""
        self.power()
        while self.starts_factor():
            token = self.next
            if token.kind == "mark" or token.text in FUNCTIONS or token.text in _NAMES:
                return
            self.power()
            self.emit("*")

    def word(self, token: Token) -> None:
        word = token.text
        if word in FUNCTIONS or word in _NAMES:
            self.function(_NAMES.get(word, word))
            return
        if word == "pi":
            self.emit("pi")
            return
        letters, _, subscript = word.partition("_")
        before = self.tokens[self.position - 2] if self.position > 1 else None
        after_digit = token.tight and before is not None and before.kind == "number"
        if letters.lower() in _ENGLISH or len(letters) > 2 + after_digit:
            raise Unreadable(word)
        for place, letter in enumerate(letters):
            last = place == len(letters) - 1
            self.symbol(f"{letter}_{subscript}" if last and subscript else letter)
            if place:
                self.emit("*")

    def symbol(self, name: str) -> None:
        if name in ("e", "i", "π"):
            self.emit({"π": "pi"}.get(name, name))
            return
        name = _LETTERS.get(name, name)
        self.symbols.add(name)
        self.emit("symbol", name)
