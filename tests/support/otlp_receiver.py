"""An OTLP/HTTP receiver on loopback, in a thread of its own: the spans that really arrive."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass
class Seen:
    """A span as it arrived."""

    name: str
    id: bytes
    parent: bytes
    trace: bytes
    kind: str
    """`INTERNAL` or `CLIENT`."""
    status: str
    """`UNSET`, `OK` or `ERROR`."""
    said: str
    """The status's message."""
    attributes: dict[str, Any]
    service: dict[str, Any]
    """The resource's attributes."""
    events: int

    @property
    def tokens(self) -> int:
        """Input and output tokens, as viewers of traces add them up."""
        kinds = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
        return sum(self.attributes.get(kind, 0) for kind in kinds)

    def parsed(self, name: str) -> Any:
        """An attribute that holds JSON."""
        return json.loads(self.attributes[name])


@dataclass
class Receiver:
    """What arrived so far."""

    url: str
    """Of the OTLP endpoint, without a path."""
    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The requests as they came."""

    def named(self, start: str) -> list[Seen]:
        """The spans whose names begin so, in the order in which they ended."""
        return [span for span in self.spans if span.name.startswith(start)]

    def one(self, start: str) -> Seen:
        """The only span whose name begins so."""
        (span,) = self.named(start)
        return span

    def tree(self, parent: bytes = b"") -> dict[str, Any]:
        """The names below a span, and what is below them; equal names count once."""
        below: dict[str, Any] = {}
        for span in sorted(self.spans, key=lambda span: span.name):
            if span.parent == parent:
                below.setdefault(span.name, {}).update(self.tree(span.id))
        return below

    def take(self, body: bytes) -> None:
        """Read one export."""
        self.bodies.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _plain(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [_seen(span, service) for span in scope.spans]


def _seen(span: Wire, service: dict[str, Any]) -> Seen:
    return Seen(
        name=span.name,
        id=span.span_id,
        parent=span.parent_span_id,
        trace=span.trace_id,
        kind=Wire.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        said=span.status.message,
        attributes=_plain(span.attributes),
        service=service,
        events=len(span.events),
    )


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    if value.WhichOneof("value") == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, value.WhichOneof("value") or "string_value")


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """Receives until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            reply = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
