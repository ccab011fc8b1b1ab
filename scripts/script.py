"""Script: steps that build on each other, under one budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from ..budgets import FREE, Budget, Ledger
from ..errors import WrongUsage
from ..graphs import OutputType
from ..graphs.approvals import Approver
from ..models import Model, resolve_model
from ..portal import run_blocking
from ..tools.registry import BUILT_IN as TOOLS
from .check import Fault, faults, levels
from .errors import Problem, ScriptError
from .functions import load_function
from .plan import Plan, make_plan
from .records import Records, open_records
from .results import ScriptResult
from .runner import Means, Progress, walk
from .source import Source, read_yaml
from .step import Step
from .types import load_type

AT_ONCE = 8
"""Questions and functions that run at the same time, unless told otherwise."""


class Script(BaseModel):
    """Steps, the inputs they take and the budget they share.

    From a file by `Script.load(path)`, or made in Python: `Script(steps=[Step(id="a", …)])`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="A mull script")

    steps: tuple[Step, ...] = Field(min_length=1, description="What is done.")
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description="What the script takes, with defaults; one without a value must be given.",
    )
    budget: str | None = Field(
        default=None, description="Limits of the whole run, such as tokens=20000,seconds=60."
    )
    seed: int | None = Field(default=None, description="For runs that can be repeated.")

    _source: Source = PrivateAttr(default_factory=lambda: Source("script", None))
    _folder: Path = PrivateAttr(default_factory=Path)

    @classmethod
    def load(cls, path: str | Path) -> Script:
        """Read a YAML file and check it.

        Raises:
            ScriptError: what is wrong, with file and line; nothing was spent.
            WrongUsage: the file cannot be read.
        """
        file = Path(path)
        source = read_yaml(file)
        try:
            script = cls.model_validate(source.value)
        except ValidationError as error:
            raise ScriptError([_problem(source, one) for one in error.errors()]) from None
        script._source, script._folder = source, file.parent
        script.check(tools=None)
        return script

    def check(self, inputs: Mapping[str, Any] | None = None, *, tools: Any = ()) -> None:
        """Look for all that is wrong before anything is spent.

        Args:
            inputs: As they will be given to `arun`. None: the inputs are not looked at.
            tools: Names of the caller's own tools. None: any name of a tool will do.

        Raises `ScriptError`.
        """
        named = {name for step in self.steps for name in step.tools}
        known = frozenset(TOOLS) | (named if tools is None else set(tools))
        found = list(faults(self.steps, self.inputs, known))
        if self.budget is not None:
            try:
                Budget.parse(self.budget)
            except WrongUsage as error:
                found.append(Fault(("budget",), str(error)))
        if inputs is not None:
            found += self._input_faults(inputs)
        if found:
            raise ScriptError(
                [Problem(self._source.where(one.place, one.line), one.what) for one in found]
            )

    def run(self, model: Model | str | None = None, **more: Any) -> ScriptResult:
        """Run the script, and wait for it; in async code, use `arun`. Raises as `arun`."""
        return run_blocking(lambda: self.arun(model, **more))

    async def arun(
        self,
        model: Model | str | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        budget: Budget | str | None = None,
        seed: int | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        out: str | Path = ".",
        tools: Mapping[str, Any] | None = None,
        approve: Approver | Literal["all"] | None = None,
        at_once: int = AT_ONCE,
        watch: Callable[[Progress], None] | None = None,
    ) -> ScriptResult:
        """Run the steps, each as soon as those it needs have ended.

        Args:
            model: Who answers the questions: a `Model` or a name, as for `Agent`.
            inputs: Values for the script's inputs.
            budget: Limits in place of the script's own, one by one.
            seed: In place of the script's own.
            folder: Keeps each finished step and the ledger. None: nothing is kept.
            resume: Go on with the run in `folder`: what is stored there is not done again.
            out: Folder of the output files.
            tools: Tools that steps may name, beside those built in.
            approve: Who is asked before tools with side effects, as for `Agent`.
            at_once: The most questions and functions that run at the same time.
            watch: Told of each step's beginning, items and end.

        A step that fails ends only those that need it; see `ScriptResult.ok` and `failures`.

        Raises:
            ScriptError: something is wrong with the script or its inputs; nothing was spent.
            WrongUsage: the folder holds another run, or is in use.
            BackendError: no model can be reached.
        """
        if at_once < 1:
            raise WrongUsage(f"at_once={at_once}: give a whole number, at least one")
        if resume and folder is None:
            raise WrongUsage("resume: name the folder of the run to go on with")
        given = self._given(inputs or {}, tools or {})
        functions, types = self._loaded()
        used = resolve_model(model) if not isinstance(model, Model) else model
        limits = self._limits(budget)
        if limits.cost is not None and used.price == FREE:
            raise WrongUsage("a limit in dollars needs a price: without one, every call costs 0")
        with _records(folder, resume) as records:
            store = None if records is None else records.store()
            means = Means(
                model=used,
                model_name=await used.name(),
                ledger=Ledger(limits, key="script", store=store),
                inputs=given,
                functions=functions,
                types=types,
                seed=self.seed if seed is None else seed,
                tools=tools or {},
                approve=approve,
                records=records,
                out=Path(out),
                watch=watch or (lambda progress: None),
                at_once=asyncio.Semaphore(at_once),
            )
            await walk(means, [step for level in levels(self.steps) for step in level])
            return ScriptResult(
                steps={step.id: means.results[step.id] for step in self.steps},
                usage=means.ledger.spent(),
                budget=limits,
            )

    def plan(
        self,
        model: Model | str | None = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        budget: Budget | str | None = None,
        tools: Mapping[str, Any] | None = None,
    ) -> Plan:
        """What `arun` would do, in order, and its likely cost. Spends nothing. Raises as `arun`."""
        given = self._given(inputs or {}, tools or {})
        self._loaded()
        used = resolve_model(model) if not isinstance(model, Model) else model
        return make_plan(self.steps, used, given, self._limits(budget), tools or {})

    def _given(self, inputs: Mapping[str, Any], tools: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs with their defaults, as JSON keeps them, of a script that is in order."""
        self.check(inputs, tools=tools)
        given: dict[str, Any] = json.loads(json.dumps({**self.inputs, **inputs}))
        return given

    def _input_faults(self, inputs: Mapping[str, Any]) -> Iterator[Fault]:
        known = ", ".join(self.inputs) or "none"
        for name in inputs.keys() - self.inputs.keys():
            yield Fault(("inputs",), f"there is no input {name!r}: this script takes {known}")
        for name, default in self.inputs.items():
            value = inputs.get(name, default)
            if value is None:
                yield Fault(("inputs", name), f"the input {name!r} is missing: give it a value")
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                yield Fault(("inputs", name), f"the input {name!r} is no plain value: {error}")

    def _loaded(self) -> tuple[dict[str, Callable[..., Any]], dict[str, OutputType]]:
        """The functions by their names, and the types of answers by their steps."""
        functions: dict[str, Callable[..., Any]] = {}
        types: dict[str, OutputType] = {}
        problems = []
        for number, step in enumerate(self.steps):
            slot = "python"
            try:
                if step.python is not None:
                    functions[step.python] = load_function(step.python, self._folder)
                slot = "output_type"
                if step.output_type is not None:
                    types[step.id] = load_type(step.output_type, self._folder)
            except WrongUsage as error:
                problems.append(Problem(self._source.where(("steps", number, slot)), str(error)))
        if problems:
            raise ScriptError(problems)
        return functions, types

    def _limits(self, budget: Budget | str | None) -> Budget:
        own = Budget() if self.budget is None else Budget.parse(self.budget)
        other = Budget.parse(budget) if isinstance(budget, str) else budget or Budget()
        return own.merged(other)


def schema() -> dict[str, Any]:
    """The JSON schema of a script's file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Script.model_json_schema()


@contextmanager
def _records(folder: str | Path | None, resume: bool) -> Iterator[Records | None]:
    if folder is None:
        yield None
        return
    with open_records(Path(folder), resume=resume) as records:
        yield records


def _problem(source: Source, error: Any) -> Problem:
    what = error["msg"].removeprefix("Value error, ")
    place = error["loc"]
    name = ".".join(map(str, place)) or "the script"
    return Problem(source.where(place), f"{name}: {what}")
