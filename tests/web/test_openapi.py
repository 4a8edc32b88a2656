"""The document of the API against the API: the same routes, and answers of the shape that it promises."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from monitor.testing.fake_view import TOTAL, FakeView
from monitor.web.api import Api
from tests.web.conftest import Served

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
QUERIES = {"/api/v1/why": "?rule=liquidations/LongsWipedOut"}
READS = [path for path, methods in DOCUMENT["paths"].items() if "get" in methods]


def closed(schema: Any) -> Any:
    """The schema with every described object closed, so that an undocumented field is a fault."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    if "properties" in inner and "required" in inner:
        inner.setdefault("additionalProperties", False)
    return inner


def check(answer: Any, path: str, method: str, status: int) -> None:
    described = DOCUMENT["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    schema = closed({**described, "components": DOCUMENT["components"]})
    jsonschema.Draft202012Validator(schema).validate(answer)


def test_the_document_has_exactly_the_routes_that_there_are() -> None:
    served = {(route.path, route.method.lower()) for route in Api(FakeView()).routes()}
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described


@pytest.mark.parametrize("path", READS)
async def test_answers_have_the_shape_that_is_promised(served: Served, path: str) -> None:
    await served.send("POST", "/api/v1/acks", {"fingerprint": TOTAL, "by": "kim"})
    await served.send(
        "POST", "/api/v1/silences", {"matchers": [{"name": "a", "value": "b"}], "createdBy": "k", "duration": "1h"}
    )
    async with served.session.get(served.url + path + QUERIES.get(path, "")) as reply:
        check(await reply.json(), path, "get", reply.status)


async def test_changes_and_refusals_have_the_shape_that_is_promised(served: Served) -> None:
    for path, method, concrete in (
        ("/api/v1/acks", "post", "/api/v1/acks"),
        ("/api/v1/silences", "post", "/api/v1/silences"),
        ("/api/v1/silences/{id}", "delete", "/api/v1/silences/nobody"),
        ("/api/v1/acks/{fingerprint}", "delete", "/api/v1/acks/nobody"),
        ("/api/v1/dead-letters/resend", "post", "/api/v1/dead-letters/resend"),
    ):
        status, body = await served.send(method.upper(), concrete, {"x": 1})
        check(body, path, method, status)
        status, body = await served.send(method.upper(), concrete, {"x": 1}, token="wrong")
        assert status == 401
        check(body, path, method, status)
    status, body = await served.send("POST", "/api/v1/acks", {"fingerprint": TOTAL, "by": "kim"})
    check(body, "/api/v1/acks", "post", status)


async def test_dead_letters_are_listed_and_sent_again(served: Served) -> None:
    path = "/api/v1/dead-letters/resend"
    assert [letter["id"] for letter in (await served.data("/api/v1/dead-letters"))["deadLetters"]] == [7]
    assert (await served.data("/api/v1/dead-letters?sink=mqtt"))["deadLetters"] == []
    status, body = await served.send("POST", path, {"ids": [7, 99]})
    check(body, path, "post", status)
    assert (status, body["data"]) == (200, {"resent": 1})
    assert (await served.data("/api/v1/dead-letters"))["deadLetters"] == []
    for ids in ([], [-1], ["x"], [2**60]):
        assert (await served.send("POST", path, {"ids": ids}))[0] == 400


async def test_the_delivery_log_says_why_nothing_was_sent(served: Served) -> None:
    (entry,) = (await served.data(f"/api/v1/deliveries?sink=mqtt&fingerprint={TOTAL}"))["deliveries"]
    assert (entry["outcome"], entry["reason"]) == ("silenced", "silence 1 by kim")
    assert (await served.data("/api/v1/deliveries?sink=other"))["deliveries"] == []


def test_references_resolve() -> None:
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text, f"{name} is used nowhere"
    assert text.count('"$ref"') == sum(
        text.count(f'"#/components/schemas/{name}"') for name in DOCUMENT["components"]["schemas"]
    )


async def test_an_acknowledgement_says_until_when(served: Served) -> None:
    wish = {"fingerprint": TOTAL, "by": "kim", "duration": "1h30m"}
    assert (await served.send("POST", "/api/v1/acks", wish))[0] == 201
    (ack,) = await served.data("/api/v1/acks")
    assert ack["until"] - ack["at"] == 5_400_000
    assert (await served.send("POST", "/api/v1/acks", {**wish, "duration": "soon"}))[0] == 400
