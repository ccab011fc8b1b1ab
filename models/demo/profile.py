"""How to speak to the embedded model. It was trained on the framework's own prompts."""

from __future__ import annotations

from ..messages import Allowance
from ..profile import Profile

DEMO_PROFILE = Profile(
    # It knows its trained prompts only: told of JSON, or held to it, it cannot reason.
    prompts={"typed.line": ""},
    reasons_in_json=False,
    max_tokens=160,
    temperature=0.0,
    sampling_temperature=0.8,
    step_separator="\n",
    typical_output=40,
    # Its template is known: a marker and a role around each message, 70 tokens for tools.
    allowance=Allowance(base=8, message=12, tools=160),
)
