"""Verifiers: what scores a candidate. One file each."""

from .code import CodeCheck
from .equations import Equations
from .expression import Expression
from .function import FunctionVerifier
from .human import Human
from .judge import Judge
from .maths import MathAnswer
from .registry import resolve_verifier
from .reward import Reward
from .unit_tests import UnitTests
from .verifier import Candidate, Means, Verdict, Verifier
from .verify import verify

__all__ = [
    "Candidate",
    "CodeCheck",
    "Equations",
    "Expression",
    "FunctionVerifier",
    "Human",
    "Judge",
    "MathAnswer",
    "Means",
    "Reward",
    "UnitTests",
    "Verdict",
    "Verifier",
    "resolve_verifier",
    "verify",
]
