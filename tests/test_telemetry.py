"""Spans, as a real receiver gets them from the real exporter: their tree, their tokens, content."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fault_server import FaultServer, Reply
from leftovers import QUICK, Leftovers
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from otlp_receiver import Receiver, otlp_receiver
from reward_server import RewardServer

from mull import Agent, Answer, BackendError, Ledger, Model, RewardModel, Settings
from mull.models import Backend, Request, user
from mull.models.embeddings import EmbeddingModel
from mull.telemetry import CONTENT, OFF, current, span

QUESTION = "How many zebras?"
SURE = "It is a quagga.\nAnswer: 42"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a receiver of their own."""
    for name in (*ENDPOINTS, CONTENT):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Traces:
    """What an application's provider has sent."""

    provider: TracerProvider
    receiver: Receiver

    async def sent(self) -> Receiver:
        """What has arrived, once all that has ended was sent."""
        assert await asyncio.to_thread(self.provider.force_flush)
        return self.receiver


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """An application that has set up OpenTelemetry; afterwards, it has not."""
    with otlp_receiver() as receiver:
        provider = provider_to(receiver)
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield Traces(provider, receiver)
        provider.shutdown()


def provider_to(receiver: Receiver, **options: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@pytest.fixture
async def model(leftovers: Leftovers) -> Model:
    """A model on the server, with quick retries."""
    return leftovers.model()


def in_turn(*replies: Reply | str) -> Callable[[Any], Reply | str]:
    rest = list(replies)
    return lambda body: rest.pop(0) if len(rest) > 1 else rest[0]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail() -> str:
    """Never works."""
    raise ValueError("okapi")


async def with_tools(server: FaultServer, model: Model, *tools: Any) -> Answer:
    """A run whose first reply calls every tool once."""
    given = {"add": {"a": 12, "b": 30}}
    calls = [(tool.__name__, given.get(tool.__name__, {})) for tool in tools]
    server.reply = in_turn(Reply("Let us see.", tool_calls=calls), SURE)
    return await Agent(model, tools=tools, depth="reason").arun(QUESTION)


async def vote_cut_short(server: FaultServer, model: Model) -> Answer:
    """A vote that is settled while others of its chains are still streaming."""
    server.reply, server.token_delay = in_turn(*[SURE] * 8, Reply("so " * 2000)), 0.002
    settings = Settings(samples=16, at_once=16)
    return await Agent(model, depth="vote", settings=settings).arun(QUESTION)


# The tree


async def test_a_direct_run_is_one_chat_below_one_agent(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.reply = SURE
    await Agent(model, depth="direct").arun(QUESTION)
    assert (await traces.sent()).tree() == {"invoke_agent": {"chat m": {}}}


async def test_tool_calls_are_beside_the_chats_that_asked_for_them(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    await with_tools(server, model, add)
    sent = await traces.sent()
    assert sent.tree() == {"invoke_agent": {"chat m": {}, "execute_tool add": {}}}
    assert len(sent.named("chat")) == 2


async def test_the_chains_of_a_vote_are_branches_below_the_agent(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    await vote_cut_short(server, model)
    sent = await traces.sent()
    names = {span.name for span in sent.named("branch")}
    assert sent.tree() == {"invoke_agent": {name: {"chat m": {}} for name in names}}
    assert len(names) == len(sent.named("chat")) == 16


async def test_a_run_is_below_the_applications_own_span(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.reply = SURE
    with traces.provider.get_tracer("app").start_as_current_span("mine"):
        await Agent(model, depth="direct").arun(QUESTION)
    assert (await traces.sent()).tree() == {"mine": {"invoke_agent": {"chat m": {}}}}


async def test_a_run_that_is_waited_for_is_below_the_applications_own_span(
    traces: Traces, server: FaultServer
) -> None:
    server.reply = SURE
    agent = Agent("m", base_url=server.base_url, depth="direct")

    def work() -> None:
        with traces.provider.get_tracer("app").start_as_current_span("mine"):
            agent.run(QUESTION)

    await asyncio.to_thread(work)
    assert (await traces.sent()).tree() == {"mine": {"invoke_agent": {"chat m": {}}}}


async def test_a_run_that_is_streamed_is_the_same_tree(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.reply = SURE
    async for _ in Agent(model, depth="direct").astream(QUESTION):
        pass
    assert (await traces.sent()).tree() == {"invoke_agent": {"chat m": {}}}


# Attributes


async def test_a_chat_tells_what_was_asked_of_whom(
    traces: Traces, server: FaultServer, leftovers: Leftovers
) -> None:
    ledger = leftovers.ledger(key="tenant")
    asked = [user(QUESTION)]
    request = Request(
        messages=asked, max_tokens=77, temperature=0.5, top_p=0.9, seed=3, stop=["END"]
    )
    await leftovers.model().ask(request, ledger=ledger, call_id="think.1")
    seen = (await traces.sent()).one("chat")
    told = {name: seen.attributes[name] for name in seen.attributes if "usage" not in name}
    assert told.pop("gen_ai.response.time_to_first_chunk") > 0
    assert seen.kind == "CLIENT"
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": 77,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.seed": 3,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "mull.ledger": "tenant",
        "mull.call_id": "think.1",
    }


async def test_a_model_without_a_name_is_named_as_the_backend_does(
    traces: Traces, server: FaultServer, leftovers: Leftovers
) -> None:
    server.models = ["only"]
    request = Request(messages=[user(QUESTION)])
    await leftovers.model(name=None).ask(request, ledger=leftovers.ledger(), call_id="c")
    seen = (await traces.sent()).one("chat")
    assert (seen.name, seen.attributes["gen_ai.request.model"]) == ("chat only", "only")


async def test_an_agent_tells_how_the_run_ended_and_its_limits(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.reply = SURE
    agent = Agent(model, depth="direct", budget="tokens=9000,calls=5")
    answer = await agent.arun(QUESTION)
    told = (await traces.sent()).one("invoke_agent").attributes
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert (told["mull.depth"], told["mull.stopped"]) == ("direct", "answered")
    assert (told["mull.budget.tokens"], told["mull.budget.calls"]) == (9000, 5)
    assert "mull.budget.seconds" not in told
    assert told["mull.usage.total_tokens"] == answer.usage.total_tokens


async def test_a_tool_call_has_the_id_that_the_model_gave_it(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    await with_tools(server, model, add)
    told = (await traces.sent()).one("execute_tool").attributes
    assert told["gen_ai.tool.name"] == "add"
    assert told["gen_ai.tool.call.id"] == server.requests[1].body["messages"][-1]["tool_call_id"]


async def test_scores_and_their_tokens_are_told(traces: Traces) -> None:
    ledger = Ledger()
    async with RewardServer() as rewards:
        scorer = RewardModel("rm", Backend(rewards.base_url), retry=QUICK)
        await scorer.score(QUESTION, ["42", "43"], ledger=ledger, call_id="c")
        await scorer.aclose()
    seen = (await traces.sent()).one("score rm")
    assert seen.attributes["gen_ai.operation.name"] == "score"
    assert seen.tokens == ledger.spent().total_tokens > 0


async def test_embeddings_and_their_tokens_are_told(traces: Traces) -> None:
    async def serve(request: web.Request) -> web.Response:
        items = [{"embedding": [0.5]} for _ in (await request.json())["input"]]
        return web.json_response({"data": items, "usage": {"prompt_tokens": 9}})

    app, ledger = web.Application(), Ledger()
    app.router.add_post("/v1/embeddings", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    embedder = EmbeddingModel("e", f"http://127.0.0.1:{runner.addresses[0][1]}/v1", retry=QUICK)
    await embedder.embed(["One.", "Two."] * 20, ledger=ledger, call_id="c")
    await embedder.aclose()
    await runner.cleanup()
    seen = (await traces.sent()).one("embeddings e")
    assert (seen.kind, seen.attributes["gen_ai.operation.name"]) == ("CLIENT", "embeddings")
    assert (seen.attributes["mull.usage.calls"], seen.tokens) == (2, 18)
    assert seen.tokens == ledger.spent().total_tokens


async def test_the_runs_of_a_thread_have_its_name_as_their_conversation(
    traces: Traces, server: FaultServer, model: Model, tmp_path: Path
) -> None:
    server.reply = SURE
    agent = Agent(model, depth="direct", threads=tmp_path)
    for _ in range(2):
        await agent.thread("user-42").arun(QUESTION)
    runs = (await traces.sent()).named("invoke_agent")
    assert [run.attributes["gen_ai.conversation.id"] for run in runs] == ["user-42"] * 2
    assert len({run.trace for run in runs}) == 2


# Tokens


async def test_the_tokens_of_all_spans_are_those_of_the_ledger(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    answer = await with_tools(server, model, add)
    sent = await traces.sent()
    assert sum(seen.tokens for seen in sent.spans) == answer.usage.total_tokens > 0


async def test_the_tokens_of_cancelled_chains_are_told_and_told_as_wasted(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    answer = await vote_cut_short(server, model)
    sent = await traces.sent()
    assert sum(seen.tokens for seen in sent.spans) == answer.usage.total_tokens
    wasted = sum(seen.attributes["mull.usage.wasted_tokens"] for seen in sent.named("chat"))
    assert wasted == answer.usage.wasted_tokens > 0


async def test_a_call_that_is_tried_again_is_one_span_with_the_tokens_of_all_attempts(
    traces: Traces, server: FaultServer, leftovers: Leftovers
) -> None:
    server.fault, ledger = itertools.chain(["truncated_sse"], itertools.repeat("none")), Ledger()
    request = Request(messages=[user(QUESTION)])
    await leftovers.model().ask(request, ledger=ledger, call_id="c")
    seen = (await traces.sent()).one("chat")
    assert seen.attributes["mull.usage.calls"] == 2
    assert seen.tokens == ledger.spent().total_tokens
    assert (seen.status, seen.attributes["gen_ai.response.finish_reasons"]) == ("UNSET", ["stop"])


# Endings


async def test_a_cancelled_chain_and_its_call_end_as_cancelled_and_not_as_errors(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    await vote_cut_short(server, model)
    sent = await traces.sent()
    for kind in ("branch", "chat"):
        cut = [seen for seen in sent.named(kind) if seen.attributes.get("mull.cancelled")]
        assert 0 < len(cut) < 16
        assert {seen.status for seen in cut} == {"UNSET"}
    cut = [seen for seen in sent.named("chat") if seen.attributes.get("mull.cancelled")]
    assert {tuple(seen.attributes["gen_ai.response.finish_reasons"]) for seen in cut} == {
        ("error",)
    }


async def test_a_run_that_nobody_listens_to_any_more_ends_as_cancelled(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.reply, server.token_delay = "so " * 500, 0.01
    async with aclosing(Agent(model, depth="direct").astream(QUESTION)) as events:
        async for event in events:
            if event.kind == "text":
                break
    sent = await traces.sent()
    assert all(seen.attributes["mull.cancelled"] for seen in sent.spans)
    assert sent.tree() == {"invoke_agent": {"chat m": {}}}


async def test_a_failing_backend_makes_errors_of_the_call_and_the_run(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.fault = "status_500"
    with pytest.raises(BackendError):
        await Agent(model, depth="direct").arun(QUESTION)
    for seen in (await traces.sent()).spans:
        assert (seen.status, seen.attributes["error.type"]) == ("ERROR", "BackendFailed")


async def test_a_branch_that_failed_is_an_error_and_the_run_that_answered_is_none(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.reply, server.fault = SURE, itertools.chain(["status_401"], itertools.repeat("none"))
    await Agent(model, depth="vote").arun(QUESTION)
    sent = await traces.sent()
    failed = [seen for seen in sent.named("branch") if seen.status == "ERROR"]
    assert [seen.attributes["error.type"] for seen in failed] == ["KeyRefused"]
    assert sent.one("invoke_agent").status == "UNSET"


async def test_a_tool_that_failed_is_an_error(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    await with_tools(server, model, fail)
    seen = (await traces.sent()).one("execute_tool")
    assert (seen.status, seen.attributes["error.type"]) == ("ERROR", "ToolError")


async def test_a_caller_that_had_heard_enough_makes_no_error(
    traces: Traces, leftovers: Leftovers
) -> None:
    class Enough(Exception):
        pass

    def hear(delta: Any) -> None:
        raise Enough

    request = Request(messages=[user(QUESTION)])
    with pytest.raises(Enough):
        await leftovers.model().ask(request, ledger=leftovers.ledger(), call_id="c", on_delta=hear)
    seen = (await traces.sent()).one("chat")
    assert (seen.status, seen.attributes["mull.stopped_by"]) == ("UNSET", Enough.__qualname__)


# Content


async def test_what_people_and_models_wrote_is_not_sent(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    await with_tools(server, model, add, fail)
    sent = b"".join((await traces.sent()).bodies)
    for word in (b"zebras", b"quagga", b"Let us see", b"okapi", b'"a"'):
        assert word not in sent


async def test_the_message_of_an_error_may_quote_a_prompt_and_is_not_sent(
    traces: Traces, server: FaultServer, model: Model
) -> None:
    server.fault = "status_401"
    with pytest.raises(BackendError):
        await Agent(model, depth="direct").arun(QUESTION)
    assert {(seen.said, seen.events) for seen in (await traces.sent()).spans} == {("", 0)}


async def test_content_is_sent_in_the_conventions_form_where_it_is_allowed(
    traces: Traces, server: FaultServer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTENT, "true")
    await with_tools(server, model, add)
    sent = await traces.sent()
    first, second = sorted(sent.named("chat"), key=lambda seen: seen.tokens)
    call = sent.one("execute_tool").attributes["gen_ai.tool.call.id"]
    called = {"type": "tool_call", "id": call, "name": "add", "arguments": {"a": 12, "b": 30}}
    said = [{"type": "text", "content": "Let us see."}, called]
    assert first.parsed("gen_ai.output.messages") == [{"role": "assistant", "parts": said}]
    assert second.parsed("gen_ai.input.messages")[-2:] == [
        {"role": "assistant", "parts": said},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": call, "response": "42"}]},
    ]
    assert sent.one("execute_tool").parsed("gen_ai.tool.call.arguments") == {"a": 12, "b": 30}
    assert sent.one("execute_tool").parsed("gen_ai.tool.call.result") == "42"
    run = sent.one("invoke_agent")
    asked = {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
    assert run.parsed("gen_ai.input.messages") == [asked]
    assert run.parsed("gen_ai.output.messages")[0]["parts"][0]["content"] == SURE


async def test_text_that_is_no_unicode_does_not_lose_the_spans_beside_it(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTENT, "span_only")
    with span("half", {"mull.call_id": "\ud83d"}) as half:
        half.content("gen_ai.input.messages", ["\ud83d"])
        half.fail("Half", "\ud83d")
    seen = (await traces.sent()).one("half")
    assert (seen.said, seen.attributes["mull.call_id"]) == ("?", "?")


# Without OpenTelemetry

BARE = """
import sys
sys.modules["opentelemetry"] = None  # Whoever imports it fails.
from mull import Agent
def add(a: int, b: int) -> int:
    "Add."
    return a + b
print(Agent("m", base_url=sys.argv[1], tools=[add], depth="reason").run("How many?").final)
"""


async def test_a_run_needs_and_imports_nothing_of_opentelemetry(server: FaultServer) -> None:
    server.reply = in_turn(Reply(tool_calls=[("add", {"a": 1, "b": 2})]), SURE)
    command = (sys.executable, "-c", BARE, server.base_url)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode() == "42\n"


async def test_what_the_application_does_not_sample_is_not_sent(
    server: FaultServer, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with otlp_receiver() as receiver:
        provider = provider_to(receiver, sampler=ALWAYS_OFF)
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
        assert (await with_tools(server, model, add)).final == "42"
        await asyncio.to_thread(provider.shutdown)
    assert receiver.bodies == []


def test_where_nobody_set_a_provider_there_are_no_spans() -> None:
    with span("none", {}) as seen:
        assert seen is OFF
        assert current() is OFF


# The command


@dataclass
class Shell:
    """Runs the `mull` command."""

    server: FaultServer
    folder: Path

    async def ask(self, *, before: str = "", **variables: str) -> tuple[int | None, str, str]:
        """Exit code, stdout and stderr. `before`: Python that runs before the command."""
        return await self.mull("ask", QUESTION, "--depth=direct", before=before, **variables)

    async def mull(
        self, *arguments: str, before: str = "", **variables: str
    ) -> tuple[int | None, str, str]:
        """The same of any command."""
        code = f"{before}\nimport sys\nfrom mull.cli import main\nsys.exit(main(sys.argv[1:]))"
        where = ("--model=m", "--base-url", self.server.base_url)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, *arguments, *where),
            cwd=self.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def shell(server: FaultServer, tmp_path: Path) -> Shell:
    """A shell in an empty folder, beside a server that answers."""
    server.reply = SURE
    return Shell(server, tmp_path)


@pytest.mark.parametrize(("name", "path"), [(ENDPOINTS[0], ""), (ENDPOINTS[1], "/v1/traces")])
async def test_the_command_sends_its_spans_where_the_environment_says(
    shell: Shell, name: str, path: str
) -> None:
    with otlp_receiver() as receiver:
        code, out, _ = await shell.ask(**{name: receiver.url + path})
    assert (code, out.strip()) == (0, SURE)
    assert receiver.tree() == {"invoke_agent": {"chat m": {}}}
    assert receiver.one("chat").service["service.name"] == "mull"


async def test_the_steps_of_a_script_are_one_trace(shell: Shell) -> None:
    script = shell.folder / "two.yaml"
    step = f"question: {QUESTION!r}, depth: direct"
    script.write_text(f"steps: [{{id: a, {step}}}, {{id: b, {step}}}]")
    with otlp_receiver() as receiver:
        code, _, err = await shell.mull(
            "run", str(script), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url
        )
    assert code == 0, err
    assert receiver.tree() == {"mull run": {"invoke_agent": {"chat m": {}}}}
    assert len(receiver.named("invoke_agent")) == 2


async def test_the_commands_service_has_the_name_that_the_environment_says(shell: Shell) -> None:
    with otlp_receiver() as receiver:
        await shell.ask(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_SERVICE_NAME="night")
    assert receiver.one("chat").service["service.name"] == "night"


async def test_without_the_extra_the_command_says_so_and_goes_on(shell: Shell) -> None:
    lacking = "import sys; sys.modules['opentelemetry.sdk'] = None"
    code, out, err = await shell.ask(before=lacking, OTEL_EXPORTER_OTLP_ENDPOINT="http://x:4318")
    assert (code, out.strip()) == (0, SURE)
    assert [line for line in err.splitlines() if "otel" in line] == [
        "mull: OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is sent: pip install 'mull[otel]'"
    ]


async def test_a_receiver_that_is_not_there_costs_a_line_and_not_the_answer(shell: Shell) -> None:
    code, out, err = await shell.ask(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1"
    )
    assert (code, out.strip()) == (0, SURE)
    assert len([line for line in err.splitlines() if "OpenTelemetry" in line]) == 1
