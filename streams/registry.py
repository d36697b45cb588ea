"""The schema registry, by Confluent's REST protocol: what an id in a record stands for.

Plain blocking requests: a worker makes them in a thread before it decodes (`learn_schemas`), other
programs while they decode. An id is immutable, so what was found is never asked for again; what was
not found is asked for again after a while, as it may only have been late.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import IO, Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from profiler.errors import ConfigurationError, RegistryUnavailable, UnusableSchema
from profiler.records import Chunk
from profiler.schemas import AvroSchema, JsonSchema, Known, Schema, Schemas, reader_of
from streams.log import get_logger
from streams.patience import Patience
from streams.protoc import descriptor_set
from streams.settings import Settings, variable

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 1_048_576
REFERENCES_MAX: Final = 100
UNKNOWN_S: Final = 10.0
"""So long nobody is asked again for an id that nobody knew."""
UNKNOWN_MAX: Final = 10_000

NOT_FOUND: Final = 404

_log = get_logger(component="registry")


class Registry:
    """A client of a registry.

    Parameters
    ----------
    url
        Where it is; a path before ``/schemas`` is part of it.
    user, password
        By which it knows us, if it asks.
    context
        How its certificate is verified.
    timeout_s
        Longest wait for it to say anything.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if user:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.ProxyHandler({}),  # none that an environment variable may name
            _StayHere(),
        ]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        self._timeout_s = timeout_s
        self._unknown_until_s: dict[int, float] = {}

    def known(self, schema_id: int) -> Known | None:
        """Give what reads the values of a schema; None if nobody knows it, or cannot use it.

        Raises
        ------
        RegistryUnavailable
            If it cannot be asked now.
        ConfigurationError
            If a library is missing that this takes.
        """
        if self._unknown_until_s.get(schema_id, 0.0) > time.monotonic():
            return None
        problem = "the registry does not know it"
        try:
            schema = self.schema(schema_id)
            if schema is not None:
                return Known(reader_of(schema))
        except UnusableSchema as fault:
            problem = str(fault)
        _log.warning("unknown_schema", schema_id=schema_id, problem=problem)
        if len(self._unknown_until_s) >= UNKNOWN_MAX:
            self._unknown_until_s.clear()
        self._unknown_until_s[schema_id] = time.monotonic() + UNKNOWN_S
        return None

    def schema(self, schema_id: int) -> Schema | None:
        """Fetch a schema, and those that it refers to; None if there is none of this id.

        Raises
        ------
        RegistryUnavailable
            If the registry cannot be asked now.
        UnusableSchema
            If it is of an unknown type, or lacks what it refers to.
        """
        found = self._get(f"/schemas/ids/{schema_id}")
        if found is None:
            return None
        kind = found.schemaType or "AVRO"
        if kind == "JSON":
            return JsonSchema()
        if kind not in ("AVRO", "PROTOBUF"):
            raise UnusableSchema(f"its type is {kind}")
        references: dict[str, str] = {}
        self._follow(found.references, references)
        if kind == "AVRO":
            return AvroSchema(found.schema, tuple(references.values()))
        return descriptor_set(found.schema, references)

    def _follow(self, references: Iterable[_Reference], texts: dict[str, str]) -> None:
        """Fetch what a schema refers to into `texts`, each after what it refers to itself."""
        for one in references:
            if one.name in texts:
                continue
            if len(texts) >= REFERENCES_MAX:
                raise UnusableSchema(f"it refers to more than {REFERENCES_MAX} others")
            # Whoever refers to a version keeps it, also when it was deleted since.
            path = f"/subjects/{quote(one.subject, safe='')}/versions/{one.version}?deleted=true"
            found = self._get(path)
            if found is None:
                raise UnusableSchema(f"it refers to {one.subject}, version {one.version}: missing")
            texts[one.name] = ""  # a circle ends here
            self._follow(found.references, texts)
            del texts[one.name]
            texts[one.name] = found.schema

    def _get(self, path: str) -> _Found | None:
        request = urllib.request.Request(self._url + path, headers=self._headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                body = _body(answer)
            return msgspec.json.decode(body, type=_Found)
        except urllib.error.HTTPError as fault:
            with fault:
                if fault.code == NOT_FOUND and _is_the_registrys(fault):
                    return None
            # Also 401, 403, and the 404 of a wrong path: no fault of the record's.
            raise RegistryUnavailable(f"{self._place} answers {fault.code} to {path}") from fault
        except (OSError, http.client.HTTPException) as fault:
            reason = getattr(fault, "reason", None) or fault
            raise RegistryUnavailable(f"{self._place}: {reason}") from fault
        except (msgspec.DecodeError, UnicodeError) as fault:
            raise RegistryUnavailable(f"{self._place} answers no schema to {path}") from fault

    @property
    def _place(self) -> str:
        return urlsplit(self._url).netloc


def schemas_of(settings: Settings) -> Schemas | None:
    """Give the schemas of the registry that the settings name; None if they name none.

    Raises
    ------
    ConfigurationError
        If its authorities cannot be read.
    """
    if not settings.registry_url:
        return None
    context = None
    if settings.registry_url.startswith("https:"):
        try:
            context = ssl.create_default_context(cafile=settings.registry_ca_file or None)
        except OSError as fault:
            problem = f"cannot use {settings.registry_ca_file}: {fault.strerror or fault}"
            raise ConfigurationError(variable("registry_ca_file"), problem) from fault
    registry = Registry(
        settings.registry_url,
        settings.registry_user,
        settings.registry_password.reveal(),
        context,
    )
    return Schemas(registry.known)


async def learn_schemas(schemas: Schemas, chunks: Iterable[Chunk], patience: Patience) -> None:
    """Have all schemas at hand that these records name, however long the registry is away."""
    ids = schemas.missing([record.value for chunk in chunks for record in chunk.records])
    if not ids:
        return
    found: dict[int, Known | None] = {}

    def fetch() -> Mapping[int, Known | None]:
        # What was found before the registry went away is not asked for again.
        for one in ids:
            if one not in found:
                found[one] = schemas.fetch(one)
        return found

    schemas.put(await patience.until_done(lambda: asyncio.to_thread(fetch)))


class _Reference(Struct, frozen=True):
    name: str
    subject: str
    version: int


class _Found(Struct, frozen=True):
    schema: str
    schemaType: str | None = None  # the protocol's own name
    references: tuple[_Reference, ...] = ()


class _Fault(Struct, frozen=True):
    error_code: int


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows nobody: the password would go along."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _body(answer: IO[bytes]) -> bytes:
    body = answer.read(ANSWER_BYTES_MAX + 1)
    if len(body) > ANSWER_BYTES_MAX:
        raise UnusableSchema(f"it has more than {ANSWER_BYTES_MAX:,} bytes")
    return body


def _is_the_registrys(answer: IO[bytes]) -> bool:
    """Whether this says that there is no such schema, and not that there is no such page."""
    try:
        code = msgspec.json.decode(_body(answer), type=_Fault).error_code
    except (msgspec.DecodeError, UnusableSchema, OSError, ValueError, http.client.HTTPException):
        return False
    # 40401 to 40403: subject, version, schema.
    return code == NOT_FOUND or code // 100 == NOT_FOUND
