"""confirm: a person's verdict on the chosen answer. The graph pauses until it is given."""

from __future__ import annotations

from langgraph.runtime import Runtime

from ..chains import verdict_on
from ..opening import run_of
from ..samples import judged, sample_of
from ..state import Context, State


async def confirm(state: State, runtime: Runtime[Context]) -> State:
    """Ask. It spends nothing before the pause, since the node begins anew when it goes on."""
    async with run_of(state, runtime) as run:
        assert run.verifier is not None, "only a run with a verifier comes here"
        sample = sample_of("confirmed", state["question"], state["text"])
        verdict = await verdict_on(
            run, sample, state["question"], runtime.stream_writer, name="confirm"
        )
        sample = judged(sample, verdict, decisive=run.verifier.decisive)
        return {
            "samples": [sample],
            "confidence": verdict.score,
            "trace": await run.conclude(),
        }
