"""Each way a backend can fail, as a type of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MullError

if TYPE_CHECKING:
    from .reply import Reply


class NoBackend(MullError):
    """Nobody said which model to use."""

    def __init__(self, name: str | None = None) -> None:
        lack = "no model is configured" if not name else f"model {name!r} has no address"
        super().__init__(
            f"{lack}. Use one of three ways: --model and --base-url (in Python: "
            "Agent(model, base_url=…)); the variables OPENAI_BASE_URL, OPENAI_API_KEY and "
            "MULL_MODEL; a mull.toml with model and base_url. `mull doctor` looks for backends "
            "on this machine, and the model `demo` is built in"
        )


class BackendError(MullError):
    """A model call failed. `partial` is what had arrived, if anything had."""

    retryable = False
    """Whether another attempt may succeed."""
    status: int | None = None
    """The HTTP status that the backend refused with; None: it failed in another way."""

    def __init__(self, message: str, *, partial: Reply | None = None) -> None:
        super().__init__(message)
        self.partial = partial


class Unreachable(BackendError):
    """No connection to the backend."""

    retryable = True


class KeyRefused(BackendError):
    """The backend refused the API key (401 or 403)."""


class UnknownModel(BackendError):
    """The backend does not serve the model (404)."""


class ContextOverflow(BackendError):
    """Prompt and reply do not fit the model's context window."""


class BadRequest(BackendError):
    """The backend rejected the request (another 4xx)."""


class RateLimited(BackendError):
    """Too many requests (429), and still so after the retries that the deadline allowed."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the backend asked to wait."""


class BackendFailed(BackendError):
    """The backend failed on its side (5xx, or an error inside the stream)."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        partial: Reply | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, partial=partial)
        self.retry_after = retry_after


class BrokenStream(BackendError):
    """The connection ended before the reply did."""

    retryable = True


class MalformedReply(BackendError):
    """The backend answered with something that is not an OpenAI-style stream."""

    def __init__(self, message: str, *, partial: Reply | None = None, unread: bool = False) -> None:
        super().__init__(message, partial=partial)
        self.unread = unread
        """A whole reply may have been made, and what it cost cannot be seen."""


class DeadlineReached(BackendError):
    """The call was cancelled because its time was up."""
