"""How hard a question is, before and while it is worked on."""

from .belief import Belief, believe, observed
from .calibration import Calibration, Signs
from .cascade import Cascade
from .difficulty import Classifier, Difficulty

__all__ = [
    "Belief",
    "Calibration",
    "Cascade",
    "Classifier",
    "Difficulty",
    "Signs",
    "believe",
    "observed",
]
