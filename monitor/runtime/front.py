"""The front of the program: live page, metrics and API on the configured address."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import AsyncExitStack

from aiohttp import web

from monitor.errors import ConfigError
from monitor.runtime.load import Loaded
from monitor.telemetry.metrics import Budget
from monitor.telemetry.view import MonitorView
from monitor.web.malformed import http_logger
from monitor.web.patience import Patience
from monitor.web.server import PATIENCE, WebSettings, make_app

SHUTDOWN_S = 0.5
KEEP_ALIVE_S = 75.0
SWEEP_S = 5.0


async def serve(loaded: Loaded, view: MonitorView, more: web.RouteDef, stack: AsyncExitStack) -> str:
    """Answer from now on until `stack` is left; returns the address.

    Args:
        loaded: Says where to listen, and who may change state.
        view: What is shown.
        more: A further route, behind the same guards.
        stack: Ends the server.

    Raises:
        ConfigError: The address cannot be taken, or a file of the API cannot be read.
    """
    config, tls = loaded.source.config, api_tls(loaded)
    settings = WebSettings(
        token=api_token(loaded),
        allowed_hosts=config.api.allowed_hosts,
        budget=Budget(watch=frozenset(config.watch)),
        reports=loaded.source.data_dir / "reports",
    )
    pages = make_app(view, settings)
    pages.add_routes([more])
    runner = web.AppRunner(
        pages, access_log=None, logger=http_logger(), shutdown_timeout=SHUTDOWN_S, keepalive_timeout=KEEP_ALIVE_S
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, port = config.listen_address
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([loaded.source.problem(("listen",), f"cannot listen on {config.listen}: {reason}")]) from None
    sweeping = asyncio.create_task(_end_silent_connections(runner, pages[PATIENCE]), name="web.patience")
    stack.callback(sweeping.cancel)
    address = runner.addresses[0]
    name = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{'https' if tls else 'http'}://{name}:{address[1]}"


async def _end_silent_connections(runner: web.AppRunner, patience: Patience) -> None:
    while runner.server is not None:
        patience.end_silent(runner.server, time.monotonic())
        await asyncio.sleep(SWEEP_S)


def api_token(loaded: Loaded) -> str | None:
    """The token of the API.

    Raises:
        ConfigError: Its file cannot be read.
    """
    api = loaded.source.config.api
    if api.token_file is None:
        return api.token
    path = loaded.source.base / api.token_file
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError([loaded.source.problem(("api", "token_file"), f"cannot read it: {error.strerror}")]) from None


def api_tls(loaded: Loaded) -> ssl.SSLContext | None:
    """The certificate of the API; None: plain HTTP.

    Raises:
        ConfigError: Certificate or key cannot be read, or do not fit.
    """
    api, base = loaded.source.config.api, loaded.source.base
    if api.tls_cert is None or api.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(base / api.tls_cert, base / api.tls_key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            [loaded.source.problem(("api", "tls_cert"), f"cannot use certificate and key: {reason}")]
        ) from None
    return context
