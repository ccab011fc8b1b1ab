"""How to speak to the embedded model: it knows the prompts it was trained on and no others."""

from __future__ import annotations

from ..messages import Allowance
from ..profile import Profile

DEMO_PROFILE = Profile(
    prompts={
        "direct.system": "",
        "think.system": "",
        "think.budget": "",
        "land.user": "",
        "difficulty.user": "",
        "critique.user": "Check this solution.\n{text}",
        "refine.user": "{question}",
        "expand.system": "",
        "expand.value": "",
    },
    tool_specs={
        "python": {
            "description": "Evaluate an expression",
            "parameters": {
                "type": "object",
                "properties": {"code": {"type": "string"}},
                "required": ["code"],
            },
        }
    },
    max_tokens=160,
    temperature=0.0,
    sampling_temperature=0.8,
    step_separator="\n",
    typical_output=40,
    # Its template is known: a marker and a role around each message, 70 tokens for tools.
    allowance=Allowance(base=8, message=12, tools=160),
)
