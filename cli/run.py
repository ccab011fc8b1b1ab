"""`mull run`: the steps of a script, under one budget; goes on where a killed run ended."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WrongUsage

if TYPE_CHECKING:
    from ..scripts import Plan, Script, ScriptResult


def add_parser(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser("run", help="run the steps of a script")
    parser.add_argument("script", nargs="?", help="a YAML file")
    parser.add_argument(
        "--input",
        metavar="K=V",
        action="append",
        default=[],
        help="a value for one of the script's inputs, as YAML; may be given several times",
    )
    parser.add_argument("--budget", metavar="B", help="limits in place of the script's own")
    parser.add_argument("--seed", metavar="N", type=int, help="in place of the script's own")
    parser.add_argument("--model", metavar="M", help="the model's name; demo is built in")
    parser.add_argument("--base-url", metavar="U", help="an OpenAI-compatible address, up to /v1")
    parser.add_argument(
        "--folder",
        metavar="DIR",
        help="the run folder, which keeps each finished step (default: SCRIPT.run)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in the folder: do what is missing"
    )
    parser.add_argument(
        "--out", metavar="DIR", default=".", help="folder of the output files (default: here)"
    )
    parser.add_argument("--report", metavar="FILE", help="write an HTML page about the run")
    parser.add_argument(
        "--concurrency", metavar="N", type=int, help="the most steps and items at once (default: 8)"
    )
    parser.add_argument(
        "--yes", action="store_true", help="approve every call of a tool with side effects"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan with an estimate; spend nothing"
    )
    parser.add_argument("--json", action="store_true", help="print every step as one JSON object")
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON schema of scripts, for editors"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the script, show its steps, print the last step's text."""
    # Imported here, so that `mull --help` needs none of it.
    from ..models import resolve_model
    from ..scripts import Script, schema
    from ..scripts.source import parse_yaml
    from . import ANSWERED

    if arguments.schema:
        print(json.dumps(schema(), indent=2))
        return ANSWERED
    if arguments.script is None:
        raise WrongUsage("name a script: mull run script.yaml")
    script = Script.load(arguments.script)
    inputs: dict[str, Any] = {}
    for given in arguments.input:
        name, equals, value = given.partition("=")
        if not equals:
            raise WrongUsage(f"--input {given}: give it as name=value")
        inputs[name] = parse_yaml(value, f"--input {name}").value if value.strip() else ""
    script.check(inputs)
    model = resolve_model(arguments.model, base_url=arguments.base_url)
    if arguments.dry_run:
        print(plan_text(script.plan(model, inputs=inputs, budget=arguments.budget)))
        return ANSWERED
    result = _run(arguments, script, model, inputs)
    if arguments.json:
        print(json.dumps(result.as_dict()))
    elif (text := result.steps[script.steps[-1].id].text) is not None:
        print(text if isinstance(text, str) else "\n\n".join(text))
    return _code(result)


def _run(
    arguments: argparse.Namespace, script: Script, model: Any, inputs: dict[str, Any]
) -> ScriptResult:
    from ..portal import run_blocking
    from ..scripts.records import write_whole
    from ..scripts.report import report
    from ..scripts.script import AT_ONCE
    from .live import budget_text, stderr_console
    from .run_board import Board

    console = stderr_console()
    folder = arguments.folder or f"{Path(arguments.script).stem}.run"
    at_once = AT_ONCE if arguments.concurrency is None else arguments.concurrency
    try:
        with Board(console, script.steps) as board:
            result = run_blocking(
                lambda: script.arun(
                    model,
                    inputs=inputs,
                    budget=arguments.budget,
                    seed=arguments.seed,
                    folder=folder,
                    resume=arguments.resume,
                    out=arguments.out,
                    approve="all" if arguments.yes else None,
                    at_once=at_once,
                    watch=board.show,
                )
            )
    except KeyboardInterrupt:
        print(f"mull: go on with: --resume --folder {folder}", file=sys.stderr)
        raise
    spent = budget_text(result.usage.as_dict(), result.budget.as_dict())
    console.print(f"[dim]{'complete' if result.ok else 'not complete'} · {spent}[/dim]")
    for name, step in result.failures.items():
        console.print(f"mull: step {name}: {step.error}", style="red", markup=False, soft_wrap=True)
    if arguments.report is not None:
        try:
            write_whole(Path(arguments.report), report(arguments.script, script.steps, result))
        except OSError as error:
            raise WrongUsage(f"--report {arguments.report}: {error.strerror}") from error
    return result


def plan_text(plan: Plan) -> str:
    """The plan as lines of text: what may start together stands under one number."""
    lines = []
    for line in plan.steps:
        needs = f"  after {', '.join(line.needs)}" if line.needs else ""
        times = "" if line.times == 1 else " × ?" if line.times is None else f" × {line.times}"
        maybe = "  if its condition holds" if line.conditional else ""
        cost = ""
        if line.estimate is not None:
            cost = f"  ~{line.estimate.calls} calls, ~{line.estimate.tokens:,} tokens"
        fits = "" if line.estimate is None or line.estimate.fits else "  more than its budget"
        lines.append(f"{line.level + 1}. {line.step}  {line.what}{times}{cost}{fits}{needs}{maybe}")
    more = ", and what × ? adds" if plan.open else ""
    priced = f", ~{plan.cost:f} USD" if plan.cost else ""
    lines.append(
        f"in all ~{plan.calls} calls, ~{plan.tokens:,} tokens{priced}{more}; budget {plan.budget}"
    )
    return "\n".join(lines)


def _code(result: ScriptResult) -> int:
    from . import ANSWERED, FAILED, NO_BUDGET

    if result.ok:
        return ANSWERED
    ended = all(step.budget_ended for step in result.failures.values())
    return NO_BUDGET if ended else FAILED
