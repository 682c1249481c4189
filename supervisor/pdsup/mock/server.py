"""The HTTP servers: rank 0's endpoints, the dummies of other ranks, and the bootstrap server."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pdsup.mock import knobs, wire
from pdsup.mock.engine import Engine, Status
from pdsup.mock.faults import Faults
from pdsup.mock.options import Options
from pdsup.mock.peers import RUN_HEADER, KvTransferFailed
from pdsup.mock.wire import Api, BadRequest, Job, Json

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)
access = logging.getLogger("access")

VERSION = "0.5.23"
FAULTS = "/mock/faults"
CLOSE_SECONDS = 0.1  # grace for handlers that still run on close; the engine has drained by then
MAX_BODY = 64 * 1024 * 1024  # bytes


async def open_server(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Listens; raises OSError if the port is taken. Call ``cleanup()`` on the result to close."""
    parser_log = logging.getLogger("http")
    parser_log.addFilter(_shorten)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=parser_log,
        handler_cancellation=True,
        shutdown_timeout=CLOSE_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def bootstrap(options: Options, registered: Callable[[], int]) -> web.Application:
    """The bootstrap server, up long before the weights; /route is 503 until all ranks are."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="OK", headers={RUN_HEADER: life})

    async def route(request: web.Request) -> web.Response:
        if "prefill_dp_rank" not in request.query:
            return web.Response(status=400, text="Missing inputs for bootstrap server.")
        if registered() < options.ranks:
            return web.Response(status=503, text=f"not fully registered yet ({registered()})")
        return web.json_response(_layout(options))

    life = f"{os.getpid()}-{time.time_ns()}"
    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/route", route)])
    return app


def dummy(faults: Faults) -> web.Application:
    """The dummy endpoints of ranks above 0: always 200, whatever happens to the worker."""
    app = web.Application(middlewares=[_gatekeeper(faults)])
    app.add_routes([web.get(path, _fine) for path in ("/ping", "/health", "/health_generate")])
    return app


def engine(served: Engine) -> web.Application:
    """The endpoints of rank 0."""
    app = web.Application(middlewares=[_gatekeeper(served.faults)], client_max_size=MAX_BODY)
    endpoints = _Endpoints(served)
    for paths, handler in (
        (("/ping",), _fine),
        (("/health", "/health_generate"), endpoints.health),
        (("/ready",), endpoints.ready),
        (("/server_info", "/get_server_info"), endpoints.server_info),
        (("/model_info", "/get_model_info"), endpoints.model_info),
        (("/v1/models",), endpoints.models),
        (("/get_load", "/v1/loads"), endpoints.loads),
        ((FAULTS,), endpoints.show_knobs),
    ):
        app.add_routes([web.get(path, handler) for path in paths])
    app.add_routes([web.post(api.value, endpoints.generating(api)) for api in Api])
    app.router.add_post(FAULTS, endpoints.change_knobs)
    app.router.add_route("*", "/flush_cache", endpoints.flush_cache)
    if served.options.enable_metrics:  # without the flag SGLang has no /metrics
        app.router.add_get("/metrics", endpoints.metrics)
    return app


def _shorten(record: logging.LogRecord) -> bool:
    """Logs one line for bytes that are not HTTP/1.1: a starting router tries HTTP/2 as well."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.msg, record.args, record.exc_info = "Invalid HTTP request received.", (), None
    return True


async def _fine(_: web.Request) -> web.Response:
    return web.Response()


def _gatekeeper(faults: Faults) -> Any:
    """Middleware that hangs every request while that knob says so, and logs them like uvicorn."""

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        while faults.knobs.hang == "http" and request.path != FAULTS:
            await faults.wait_for_change()
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            _log_access(faults, request, refusal.status)
            raise
        _log_access(faults, request, response.status)
        return response

    return gate


def _log_access(faults: Faults, request: web.Request, status: int) -> None:
    if faults.knobs.access_log:
        access.info(
            '%s - "%s %s HTTP/1.1" %d', request.remote, request.method, request.path, status
        )


class _Endpoints:
    def __init__(self, served: Engine) -> None:
        self._engine = served
        self._options = served.options
        self._faults = served.faults
        self._ids = 0

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(status=await self._engine.health())

    async def ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self._engine.status is Status.UP else 503)

    async def server_info(self, _: web.Request) -> web.Response:
        state = {"status": self._engine.status.value, "num_running_reqs": self._engine.running}
        info = dataclasses.asdict(self._options)
        return web.json_response({**info, "version": VERSION, "internal_states": [state]})

    async def model_info(self, _: web.Request) -> web.Response:
        paths = {"model_path": self._options.model_path}
        paths["tokenizer_path"] = self._options.tokenizer_path
        return web.json_response({**paths, "is_generation": True, "weight_version": "default"})

    async def models(self, _: web.Request) -> web.Response:
        name = self._options.served_model_name
        card = {"id": name, "object": "model", "owned_by": "sglang", "root": name}
        return web.json_response({"object": "list", "data": [card]})

    async def loads(self, _: web.Request) -> web.Response:
        load = {"num_reqs": self._engine.running, "num_waiting_reqs": 0, "num_tokens": 0}
        return web.json_response(
            [{"dp_rank": rank, **load} for rank in range(self._options.dp_size)]
        )

    async def flush_cache(self, _: web.Request) -> web.Response:
        if self._engine.running:
            return web.Response(status=400, text="Flush cache failed: requests are running.\n")
        return web.Response(text="Cache flushed.\n")

    async def metrics(self, _: web.Request) -> web.Response:
        label = f'{{model_name="{self._options.served_model_name}"}}'
        rows = (
            ("prompt_tokens_total", "counter", self._engine.prompt_tokens),
            ("generation_tokens_total", "counter", self._engine.generation_tokens),
            ("num_running_reqs", "gauge", self._engine.running),
        )
        lines = (f"# TYPE sglang:{n} {kind}\nsglang:{n}{label} {v}.0\n" for n, kind, v in rows)
        return web.Response(text="".join(lines))

    async def show_knobs(self, _: web.Request) -> web.Response:
        return web.json_response(knobs.as_json(self._faults.knobs))

    async def change_knobs(self, request: web.Request) -> web.Response:
        try:
            self._faults.change(await request.json())
        except (knobs.BadKnob, json.JSONDecodeError) as error:
            return _refusal(400, str(error))
        return await self.show_knobs(request)

    def generating(self, api: Api) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if self._engine.status is Status.STOPPING:
                return _refusal(503, "The server is shutting down.")
            if (status := self._faults.take_error()) is not None:
                return _refusal(status, "Injected error.")
            try:
                return await self._generate(request, self._job(api, await request.json()))
            except (BadRequest, json.JSONDecodeError) as error:
                return _refusal(400, str(error))
            except KvTransferFailed as error:
                log.error("%s", error)
                return _refusal(500, str(error))

        return handle

    def _job(self, api: Api, body: object) -> Job:
        job = wire.read(api, body)
        if self._options.disaggregation_mode != "null" and not job.bootstraps:
            raise BadRequest("a disaggregated worker needs requests with a bootstrap room id")
        if self._options.disaggregation_mode == "prefill":  # the decode makes the rest
            return dataclasses.replace(job, tokens=1)
        return job

    async def _generate(self, request: web.Request, job: Job) -> web.StreamResponse:
        self._ids += 1
        head = {"id": f"{os.getpid():x}-{self._ids:x}", "created": int(time.time())}
        head["model"] = self._options.served_model_name
        if self._faults.knobs.empty_answers:
            job = dataclasses.replace(job, tokens=0)
        async with aclosing(self._engine.tokens(job)) as positions:
            if job.stream:
                return await _stream(request, job, head, positions)
            async for _ in positions:
                pass
        return web.json_response(wire.whole(job, head))


async def _stream(
    request: web.Request, job: Job, head: Json, positions: AsyncIterator[int]
) -> web.StreamResponse:
    """Streams a response; a failed transfer is a 500, as the status waits for the first token."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    try:
        async for position in positions:
            if not response.prepared:
                await response.prepare(request)
            await response.write(b"".join(wire.step(job, head, position)))
        if not response.prepared:  # of no token
            await response.prepare(request)
        await response.write(b"".join(wire.tail(job, head)))
    except ConnectionResetError:
        log.info("The client of %s disconnected", head["id"])
    return response


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response(wire.error(status, message), status=status)


def _layout(options: Options) -> Json:
    """What a decode must know about a prefill before it connects to its ranks."""
    dp = options.dp_size if options.enable_dp_attention else 1
    return {
        "attn_tp_size": options.tp_size // dp,
        "attn_cp_size": 1,
        "dp_size": options.dp_size,
        "pp_size": options.pp_size,
        "page_size": options.page_size,
        "kv_cache_dtype": options.kv_cache_dtype,
        "follow_bootstrap_room": True,
    }
