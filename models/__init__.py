"""The one client to OpenAI-compatible backends, and the errors that backends raise."""

from .backend import Backend
from .capabilities import Capabilities
from .embeddings import EmbeddingModel
from .errors import (
    BackendError,
    BackendFailed,
    BadRequest,
    BrokenStream,
    ContextOverflow,
    DeadlineReached,
    KeyRefused,
    MalformedReply,
    NoBackend,
    RateLimited,
    UnknownModel,
    Unreachable,
)
from .forcing import Thinking, ask_forced
from .messages import Message, Request, system, user
from .model import Model
from .profile import Profile
from .reply import Delta, Reply, TokenLogprob, ToolCall
from .resolve import resolve_model
from .retry import RetryPolicy
from .reward import RewardModel

__all__ = [
    "Backend",
    "BackendError",
    "BackendFailed",
    "BadRequest",
    "BrokenStream",
    "Capabilities",
    "ContextOverflow",
    "DeadlineReached",
    "Delta",
    "EmbeddingModel",
    "KeyRefused",
    "MalformedReply",
    "Message",
    "Model",
    "NoBackend",
    "Profile",
    "RateLimited",
    "Reply",
    "Request",
    "RetryPolicy",
    "RewardModel",
    "Thinking",
    "TokenLogprob",
    "ToolCall",
    "UnknownModel",
    "Unreachable",
    "ask_forced",
    "resolve_model",
    "system",
    "user",
]
