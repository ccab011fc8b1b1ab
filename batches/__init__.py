"""Many questions from a file, answered into a file: resumable, under one budget."""

from .batch import Batch, Report
from .executor import Executor, LocalExecutor
from .item import Item, Refused
from .progress import Progress
from .results import Results, ResultsFile
from .row import Row
from .source import QuestionsFile

__all__ = [
    "Batch",
    "Executor",
    "Item",
    "LocalExecutor",
    "Progress",
    "QuestionsFile",
    "Refused",
    "Report",
    "Results",
    "ResultsFile",
    "Row",
]
