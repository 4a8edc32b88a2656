"""The sending process of the receive benchmarks: a websocket server as thin as one can be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

Answer = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


async def serve(answer: Answer) -> None:
    """Listen on a free loopback port, print it, and answer each text frame of a client for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = ServerProtocol()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                wire.receive_data(data)
                for event in wire.events_received():
                    if isinstance(event, Request):
                        wire.send_response(wire.accept(event))
                        writer.write(b"".join(wire.data_to_send()))
                    elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        await answer(writer, bytes(event.data))
                writer.write(b"".join(wire.data_to_send()))
                await writer.drain()
                if wire.close_expected():
                    break
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()
