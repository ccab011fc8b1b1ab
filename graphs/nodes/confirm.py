"""confirm: a person's verdict on the chosen answer. The graph pauses until it is given."""

from __future__ import annotations

from langgraph.runtime import Runtime

from ..chains import verdict_on
from ..opening import run_of
from ..run import Run
from ..samples import Sample, judged, sample_of
from ..state import Context, State


async def confirm(state: State, runtime: Runtime[Context]) -> State:
    """Ask. It spends nothing before the pause, since the node begins anew when it goes on."""
    async with run_of(state, runtime) as run:
        assert run.verifier is not None, "only a run with a verifier comes here"
        sample = _chosen(run, state)
        verdict = await verdict_on(
            run, sample, state["question"], runtime.stream_writer, name="confirm"
        )
        return {
            "samples": [judged(sample, verdict, decisive=run.verifier.decisive)],
            "confidence": verdict.score,
            "trace": await run.conclude(),
        }


def _chosen(run: Run, state: State) -> Sample:
    """The sample that was chosen; of an answer that was merged from several, a new one."""
    for sample in state.get("samples", ()):
        if sample["text"] == state["text"]:
            return sample
    name = f"{run.branch}/merger"
    return sample_of(name, state["question"], state["text"], output=run.output)
