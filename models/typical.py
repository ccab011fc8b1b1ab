"""What replies of a model have looked like. For estimates, never for bounds."""

from __future__ import annotations

from dataclasses import dataclass

from .reply import Reply

MEMORY = 10
"""Replies after which a new one counts for a tenth."""


@dataclass(slots=True)
class Typical:
    """Smoothed figures of the replies seen so far."""

    output_tokens: float
    bytes_per_token: float = 4.0
    """UTF-8 bytes of a prompt for each of its tokens."""
    seconds: float = 0.0
    replies: int = 0

    def learn(self, reply: Reply, prompt_bytes: int) -> None:
        """Take one finished reply into account."""
        self.replies += 1
        share = 1 / min(self.replies, MEMORY)
        self.output_tokens += share * (reply.usage.output_tokens - self.output_tokens)
        self.seconds += share * (reply.seconds - self.seconds)
        if reply.usage.input_tokens:
            rate = prompt_bytes / reply.usage.input_tokens
            self.bytes_per_token += share * (rate - self.bytes_per_token)
