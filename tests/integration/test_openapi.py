"""The API of the running program against its document: schemathesis makes up requests, good and bad, from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import openapi
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.integration.program import Program
from tests.integration.test_program import Desk, firing, quoting

pytestmark = pytest.mark.xdist_group("program")

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
OPERATIONS: list[Any] = [found.ok() for found in openapi.from_dict(DOCUMENT).get_all_operations()]  # type: ignore[union-attr]
TAKES_INPUT = [found for found in OPERATIONS if found.body or any(True for _ in found.iter_parameters())]
CASES = [(found, GenerationMode.POSITIVE) for found in OPERATIONS] + [(found, GenerationMode.NEGATIVE) for found in TAKES_INPUT]  # fmt: skip
NOT_IN_A_SCHEMA = {"POST /api/v1/silences"}
"""Where a fitting body may still be refused: that a silence ends after it starts, and mutes something, is no schema."""
st.from_regex("a").validate()  # imports what makes texts now: in a thread CPython 3.11 may fail to parse it (gh-106905)
TOKEN = "a-long-enough-token"
EXAMPLES = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """A monitor with an alert that fires, open for changes."""
    async with quoting("bybit") as server:
        desk = Desk(tmp_path_factory.mktemp("desk"), server)
        with (desk.folder / "config.yaml").open("a", encoding="utf-8") as config:
            config.write(f"api: {{token: {TOKEN}}}\n")
        async with desk.program() as running:

            async def fires() -> bool:
                return bool(await firing(running))

            await running.ready()
            await running.until(fires)
            yield running


def probe(url: str, operation: Any, mode: GenerationMode) -> None:
    """Send made-up requests to one operation; every answer must be one that the document promises."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        excluded = [positive_data_acceptance] if operation.label in NOT_IN_A_SCHEMA else []
        case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, excluded_checks=excluded)

    run()


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{found.label} {mode.value}" for found, mode in CASES])
@pytest.mark.asyncio(loop_scope="module")
async def test_answers_are_those_of_the_document(program: Program, operation: Any, mode: GenerationMode) -> None:
    await asyncio.to_thread(probe, program.url, operation, mode)


@pytest.mark.asyncio(loop_scope="module")
async def test_it_survived(program: Program) -> None:
    assert (await program.data("/api/v1/status"))["process"]["version"]
    assert "Traceback" not in program.stderr
