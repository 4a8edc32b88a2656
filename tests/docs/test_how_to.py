"""The code of the how-to pages, run as it stands there."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from monitor.sink import Outcome
from monitor.window import Columns
from monitor.window import Path as WindowPath
from tests.sinks.build import note

DOCS = Path(__file__).parents[2] / "docs"


def module(page: str) -> Any:
    """The names that the page's one Python block defines."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, page, "exec"), names)
    # pydantic looks annotations up in the module that a class says it is from
    if "Options" in names:
        names["Options"].model_rebuild(_types_namespace=names)
    return SimpleNamespace(**names)


async def test_a_sink(tmp_path: Path) -> None:
    kind = module("how-to-add-a-sink.md").KIND
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    path = tmp_path / "out.txt"
    options = kind.options.model_validate({"type": "shout", "path": path, "password_file": str(secret)})
    assert "hunter2" not in repr(options)
    sink = kind.build(options)
    assert await sink.deliver(note()) == Outcome.ok("shouted")
    assert path.read_text() == note().title.upper() + "\n"
    folder = kind.build(options.model_copy(update={"path": tmp_path}))
    assert await folder.deliver(note()) == Outcome.drop("the path is a folder")


def test_a_window_function() -> None:
    swing = module("how-to-add-a-window-function.md").SWING
    rows: list[tuple[list[float], float]] = [([3.0, 9.0, 4.0], 1.0), ([5.0], math.nan), ([], 7.0), ([], math.nan)]
    columns = Columns(
        ts=np.arange(4, dtype=np.int64),
        values=np.array([value for values, _ in rows for value in values]),
        offsets=np.cumsum([0, *(len(values) for values, _ in rows)]),
        start_ns=-1,
        end_ns=10,
        stale_ns=np.full(4, np.inf),
        now=np.full(4, np.nan),
        before=np.array([before for _, before in rows]),
        source="gauge",
    )
    got = swing.compute(columns)
    want = [
        swing.naive(WindowPath(range(len(values)), values, -1, 10, "gauge", before=before)) for values, before in rows
    ]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(got, [8.0, 0.0, 0.0, math.nan])
