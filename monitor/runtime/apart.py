"""Reads large replies of slow sources in a process of its own, so that none can take the engine's time or memory.

A JSON decoder holds the interpreter for as long as a reply takes, in whichever thread it runs: 400 ms for 50 MB. A child
that ends with its reply shares neither interpreter nor memory. The parent writes a pickled head and the body to its
standard input; the child answers with the pickled events, or with the `DecodeError`::

    events = await read_apart(source, request, body, recv_ns)
"""

from __future__ import annotations

import asyncio
import pickle
import sys

from monitor.errors import DecodeError
from monitor.events import MarketEvent
from monitor.feed import Request
from monitor.source import Source

PATIENCE_S = 60.0
MEMORY_BYTES = 1 << 30
"""The child's address space: about twenty times the largest reply that is taken."""

_PIECE_BYTES = 1 << 20


async def read_apart(source: Source, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
    """`Source.parse` in a child.

    Raises:
        DecodeError: What the parser said; ``internal`` where the child ended without an answer, or gave none in time.
    """
    head = pickle.dumps((type(source), source.options, request, recv_ns))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer = await _exchange(child, head, body)
    except TimeoutError:
        raise DecodeError("internal", f"{len(body)} bytes were not read within {PATIENCE_S:g} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if not answer:
        raise DecodeError("internal", f"reading {len(body)} bytes ended with exit code {child.returncode}")
    found = pickle.loads(answer)  # noqa: S301  # written by our own child, which was given a reply and no pickle
    if isinstance(found, DecodeError):
        raise found
    events: list[MarketEvent] = found
    return events


async def _exchange(child: asyncio.subprocess.Process, head: bytes, body: bytes) -> bytes:
    """Give the child its work in pieces, so that the event loop never copies much at once; its whole answer."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(len(head).to_bytes(8, "big") + head)
    view = memoryview(body)
    try:
        for at in range(0, len(view), _PIECE_BYTES):
            child.stdin.write(view[at : at + _PIECE_BYTES])
            await child.stdin.drain()
        child.stdin.close()
    except ConnectionError:  # it has ended; its exit code says more
        pass
    answer = await child.stdout.read()
    await child.wait()
    return answer


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on this system: the size of a reply is the only bound
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _answer(given: bytes) -> list[MarketEvent] | DecodeError:
    size = int.from_bytes(given[:8], "big")
    kind, options, request, recv_ns = pickle.loads(given[8 : 8 + size])  # noqa: S301  # from our own parent
    try:
        events: list[MarketEvent] = kind(options).parse(request, given[8 + size :], recv_ns)
    except DecodeError as error:
        return DecodeError(error.reason, error.detail)
    except MemoryError:
        return DecodeError("too_large", f"more than {MEMORY_BYTES} bytes of memory to read it")
    except Exception as error:  # noqa: BLE001  # a parser's bug is told like a bad reply
        return DecodeError("internal", repr(error)[:200])
    return events


def main() -> int:
    """Read one reply from standard input; the child's whole life."""
    _limit_memory()
    sys.stdout.buffer.write(pickle.dumps(_answer(sys.stdin.buffer.read())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
