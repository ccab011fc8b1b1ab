"""Accounts: what was spent, from a ledger file; what one run did, from its events."""

from .exports import as_csv, as_json, as_text
from .ledger_file import read_entries
from .page import page
from .spending import DIMENSIONS, Spending, dimensions_of, spending, total
from .story import Story
from .teller import tell
from .thread_trace import thread_trace
from .trace_file import Trace, read_trace
from .trace_recorder import TraceRecorder

__all__ = [
    "DIMENSIONS",
    "Spending",
    "Story",
    "Trace",
    "TraceRecorder",
    "as_csv",
    "as_json",
    "as_text",
    "dimensions_of",
    "page",
    "read_entries",
    "read_trace",
    "spending",
    "tell",
    "thread_trace",
    "total",
]
