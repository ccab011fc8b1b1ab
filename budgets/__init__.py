"""Budget, Usage, Price and the Ledger that holds a run to its budget."""

from .account import Amount, Bound
from .books import CallKnown, Entry, Store
from .budget import Budget
from .ledger import Ledger
from .memory import MemoryStore
from .records import Record, Recorder
from .sqlite import SQLiteStore
from .usage import FREE, Price, Usage
from .waiting import BudgetExhausted, Hold

__all__ = [
    "FREE",
    "Amount",
    "Bound",
    "Budget",
    "BudgetExhausted",
    "CallKnown",
    "Entry",
    "Hold",
    "Ledger",
    "MemoryStore",
    "Price",
    "Record",
    "Recorder",
    "SQLiteStore",
    "Store",
    "Usage",
]
