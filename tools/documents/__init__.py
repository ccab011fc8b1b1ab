"""The user's own documents, as passages to be found and cited."""

from .documents import Documents, Hit, Ingested
from .embedding import Embeddings
from .folders import Skipped
from .index import DamagedIndex
from .tool import DocumentsTool

__all__ = [
    "DamagedIndex",
    "Documents",
    "DocumentsTool",
    "Embeddings",
    "Hit",
    "Ingested",
    "Skipped",
]
