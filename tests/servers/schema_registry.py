"""A schema registry in this process: it speaks Confluent's REST protocol, and has its bad days."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from streams.spawn import HOST, free_port
from tests.servers.certificates import Certificates

CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry:
    """Keeps schemas by id and by subject; ids and port stay over restarts.

    Parameters
    ----------
    certificates
        Lets it speak TLS, and nothing else.
    user, password
        Who alone is let in.

    Attributes
    ----------
    requests
        Paths that were asked for.
    answer
        Status, headers and body that everybody gets, while set.
    """

    def __init__(
        self, certificates: Certificates | None = None, user: str = "", password: str = ""
    ) -> None:
        self.requests: list[str] = []
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self._port = free_port()
        self._certificates = certificates
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._authorization = f"Basic {pair}" if user else None
        self._schemas: list[dict[str, Any]] = []
        self._versions: dict[str, list[int]] = {}
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is, also while it is away."""
        return f"http{'s' if self._certificates else ''}://{HOST}:{self._port}"

    def register(self, subject: str, schema: str, kind: str = "AVRO", references: Any = ()) -> int:
        """Keep a schema under a subject, and give its id."""
        entry = {"schema": schema, "schemaType": kind, "references": list(references)}
        if entry not in self._schemas:
            self._schemas.append(entry)
        number = self._schemas.index(entry) + 1
        versions = self._versions.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def start(self) -> None:
        """Serve, in threads."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._serve(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, self._port), Handler)
        if self._certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates.server, self._certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go away; what was registered stays."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append(request.path)
        if self.answer is not None:
            status, headers, said = self.answer
        elif request.headers.get("Authorization") != self._authorization:
            status, headers, said = 401, {}, b'{"error_code":40101,"message":"Unauthorized"}'
        else:
            status, answer = self._answer(request.path, json.loads(body) if body else {})
            headers, said = {"Content-Type": CONTENT_TYPE}, json.dumps(answer).encode()
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(said))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(said)

    def _answer(self, path: str, sent: dict[str, Any]) -> tuple[int, Any]:
        match [unquote(part) for part in urlsplit(path).path.split("/")[1:]]:
            case ["schemas", "ids", number]:
                return self._shown(int(number), 40403)
            case ["subjects", subject, "versions"]:
                found = (sent["schema"], sent.get("schemaType", "AVRO"))
                return 200, {"id": self.register(subject, *found, sent.get("references") or ())}
            case ["subjects", subject, "versions", version]:
                versions = self._versions.get(subject, [])
                if not 1 <= int(version) <= len(versions):
                    return 404, {"error_code": 40402, "message": "Version not found"}
                return self._shown(versions[int(version) - 1], 40402)
            case ["subjects", subject]:
                found = (sent["schema"], sent.get("schemaType", "AVRO"))
                kept = self.register(subject, *found, sent.get("references") or ())
                place = self._versions[subject].index(kept) + 1
                named = {"subject": subject, "version": place, "id": kept}
                return 200, {**self._schemas[kept - 1], **named}
        return 404, {"error": "no such page"}

    def _shown(self, number: int, code: int) -> tuple[int, Any]:
        if not 1 <= number <= len(self._schemas):
            return 404, {"error_code": code, "message": "Schema not found"}
        shown = dict(self._schemas[number - 1])
        if shown["schemaType"] == "AVRO":
            del shown["schemaType"]  # as Confluent's does
        return 200, shown

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
