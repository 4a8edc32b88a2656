"""The HTTP API under ``/api/v1``. Bodies are ``{"status": "success", "data": ...}``, or ``"error"`` with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from monitor import __version__, pattern
from monitor.clock import NS_PER_S
from monitor.language.problems import did_you_mean
from monitor.literals import LiteralProblem, moment_ns, parse_duration, parse_time
from monitor.telemetry.metrics import ACTIVE_STATES
from monitor.telemetry.view import MonitorView
from monitor.telemetry.views.alerting import Acknowledgement, HistoryQuery, LabelMatcher, Silence
from monitor.web.page import ASSETS, BASES_PER_WINDOW, encode
from monitor.web.reports import Reports
from monitor.web.shapes.alerting import dead_letter_body, delivery_body, history_body
from monitor.web.shapes.feeds import feed_body, inlet_body, source_body
from monitor.web.shapes.market import asset_bodies, depth_bodies, window_bodies
from monitor.web.shapes.program import latency_bodies, process_body, sink_bodies
from monitor.web.shapes.prometheus import prometheus_alert, prometheus_rules, silence_body
from monitor.web.shapes.rules import why_body
from monitor.web.shapes.values import millis

Body = TypeVar("Body", bound=msgspec.Struct)

MAX_HISTORY = 5_000
MAX_SILENCE_S = 365 * 86_400
_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


class SilenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/v1/silences``: Alertmanager's fields, or ``duration`` in place of the two times."""

    matchers: list[dict[str, str | bool]]
    createdBy: str  # noqa: N815 - Alertmanager's name
    comment: str = ""
    startsAt: datetime | None = None  # noqa: N815 - Alertmanager's name
    endsAt: datetime | None = None  # noqa: N815 - Alertmanager's name
    duration: str = ""
    id: str = ""


class AckRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/v1/acks``."""

    fingerprint: str
    by: str
    comment: str = ""
    duration: str = ""


class ResendRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /api/v1/dead-letters/resend``. JSON knows one kind of number: 7.0 is 7."""

    ids: list[Annotated[float, msgspec.Meta(ge=0, le=2**53)]]


def success(data: Any, status: int = 200) -> web.Response:
    """The outer shape of every good answer."""
    return web.Response(
        body=encode({"status": "success", "data": data}), status=status, content_type="application/json"
    )


def failure(status: int, kind: str, words: str) -> web.Response:
    """The outer shape of every refusal, as Prometheus has it."""
    body = encode({"status": "error", "errorType": kind, "error": words})
    return web.Response(body=body, status=status, content_type="application/json")


class BadRequest(ValueError):
    """A parameter or body that cannot be used; the message is for the client."""


def _decode(raw: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"body: {error}") from error


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text) or int(text) > most:
        raise BadRequest(f"{name}: expected a whole number up to {most}")
    return int(text)


def _time_ns(query: Mapping[str, str], name: str) -> int:
    """A time as Prometheus takes it: unix seconds or RFC 3339; 0 when absent."""
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return parse_time(text)
    except LiteralProblem as error:
        raise BadRequest(f"{name}: {error.words}") from error


def _to_ns(moment: datetime, name: str) -> int:
    try:
        return moment_ns(moment)
    except LiteralProblem as error:
        raise BadRequest(f"{name}: {error.words}") from error


def _duration_ns(text: str) -> int:
    try:
        length_ns = parse_duration(text)
    except LiteralProblem as error:
        raise BadRequest(f"duration: {error.words}") from error
    if not 0 < length_ns <= MAX_SILENCE_S * NS_PER_S:
        raise BadRequest("duration: expected more than nothing and at most a year")
    return length_ns


def _matcher(raw: Mapping[str, str | bool]) -> LabelMatcher:
    unknown = set(raw) - {"name", "value", "isRegex", "isEqual"}
    name, value = raw.get("name"), raw.get("value")
    if unknown or not isinstance(name, str) or not isinstance(value, str) or not name:
        raise BadRequest("matchers: each needs a name and a value, and may have isRegex and isEqual")
    is_regex = raw.get("isRegex", False) is True
    if is_regex:
        try:
            pattern.compiled(value)
        except ValueError as error:
            raise BadRequest(f"matchers: {name}: {error}") from error
    return LabelMatcher(name, value, is_regex, raw.get("isEqual", True) is True)


def to_silence(body: SilenceRequest, now_ns: int) -> Silence:
    """Check a request for a silence.

    Raises:
        BadRequest: It mutes nothing, everything, or for no time.
    """
    matchers = tuple(_matcher(raw) for raw in body.matchers)
    if all(matcher.value == "" or (matcher.is_regex and re.fullmatch(matcher.value, "")) for matcher in matchers):
        raise BadRequest("matchers: at least one must not match the empty text, or everything would be muted")
    if not body.createdBy.strip():
        raise BadRequest("createdBy: say who you are")
    starts_ns = max(_to_ns(body.startsAt, "startsAt"), now_ns) if body.startsAt else now_ns
    if body.duration:
        ends_ns = starts_ns + _duration_ns(body.duration)
    elif body.endsAt:
        ends_ns = _to_ns(body.endsAt, "endsAt")
    else:
        raise BadRequest("endsAt or duration is needed: a silence has an end")
    if not starts_ns < ends_ns <= starts_ns + MAX_SILENCE_S * NS_PER_S:
        raise BadRequest("endsAt: must come after startsAt, by a year at most")
    return Silence(matchers, starts_ns, ends_ns, body.createdBy.strip()[:100], body.comment[:500])


class Api:
    """Handlers, each a few lines over one `MonitorView`."""

    def __init__(self, view: MonitorView, reports: Reports | None = None) -> None:
        self._view = view
        self._reports = reports or Reports(None)

    def routes(self) -> list[web.RouteDef]:
        """Every route of the API; ``docs/openapi.json`` is checked against this list."""
        base = "/api/v1"
        reads: tuple[tuple[str, Handler], ...] = (
            ("/alerts", self.alerts),
            ("/rules", self.rules),
            ("/status", self.status),
            ("/status/buildinfo", self.build_info),
            ("/history", self.history),
            ("/silences", self.silences),
            ("/acks", self.acks),
            ("/why", self.why),
            ("/market", self.market),
            ("/signals", self.signals),
            ("/reports", self.reports),
            ("/deliveries", self.deliveries),
            ("/dead-letters", self.dead_letters),
        )
        return [
            *(web.get(base + path, handler) for path, handler in reads),
            web.post(f"{base}/silences", self.add_silence),
            web.delete(base + "/silences/{id}", self.expire_silence),
            web.post(f"{base}/acks", self.acknowledge),
            web.delete(base + "/acks/{fingerprint}", self.withdraw_acknowledgement),
            web.post(f"{base}/dead-letters/resend", self.resend),
        ]

    async def alerts(self, _request: web.Request) -> web.Response:
        """Pending and firing alerts in Prometheus' shape."""
        active = [alert for alert in self._view.alerts() if alert.state in ACTIVE_STATES]
        return success({"alerts": [prometheus_alert(alert, self._view) for alert in active]})

    async def rules(self, request: web.Request) -> web.Response:
        """All rules in Prometheus' shape; ``type=record`` has none."""
        if request.query.get("type") == "record":
            return success({"groups": []})
        return success(prometheus_rules(self._view))

    async def build_info(self, _request: web.Request) -> web.Response:
        """Version, where Prometheus clients look for it."""
        return success({"version": __version__, "application": "market-risk-monitor", "features": {}})

    async def status(self, _request: web.Request) -> web.Response:
        """The whole program at a glance."""
        view = self._view
        states = [str(alert.state) for alert in view.alerts()]
        return success(
            {
                "now": millis(view.process().now_ns),
                "process": process_body(view),
                "feeds": [feed_body(feed) for feed in view.feeds()],
                "sources": [source_body(source) for source in view.sources()],
                "inlet": inlet_body(view.inlet()),
                "sinks": sink_bodies(view),
                "latency": latency_bodies(view),
                "alerts": {state: states.count(state) for state in sorted(set(states))},
                "rules": len(view.rules()),
            }
        )

    async def market(self, request: web.Request) -> web.Response:
        """Prices, funding, open interest and depth by base, and the liquidation windows."""
        limit = _number(request.query, "limit", ASSETS, 10_000)
        return success(
            {
                "now": millis(self._view.process().now_ns),
                "assets": asset_bodies(self._view.market(), limit),
                "depth": depth_bodies(self._view.market(), limit),
                "windows": window_bodies(self._view.windows(), BASES_PER_WINDOW),
            }
        )

    async def history(self, request: web.Request) -> web.Response:
        """What happened to alerts, newest first; ``since``, ``until``, ``rule``, ``fingerprint``, ``limit``."""
        query = request.query
        wanted = HistoryQuery(
            _time_ns(query, "since"),
            _time_ns(query, "until"),
            query.get("rule", ""),
            query.get("fingerprint", ""),
            _number(query, "limit", 200, MAX_HISTORY),
        )
        return success({"entries": [history_body(entry) for entry in await self._view.history(wanted)]})

    async def deliveries(self, request: web.Request) -> web.Response:
        """What was sent to each sink, or why it was not, newest first; ``sink``, ``fingerprint``, ``limit``."""
        query = request.query
        limit = _number(query, "limit", 200, MAX_HISTORY)
        found = await self._view.deliveries(query.get("sink", ""), query.get("fingerprint", ""), limit)
        return success({"deliveries": [delivery_body(entry) for entry in found]})

    async def dead_letters(self, request: web.Request) -> web.Response:
        """Notifications that were given up, oldest first; ``sink``, ``limit``."""
        limit = _number(request.query, "limit", 200, MAX_HISTORY)
        found = await self._view.dead_letters(request.query.get("sink", ""), limit)
        return success({"deadLetters": [dead_letter_body(letter) for letter in found]})

    async def resend(self, request: web.Request) -> web.Response:
        """Put dead letters back in line."""
        body = _decode(await request.read(), ResendRequest)
        if not 0 < len(body.ids) <= MAX_HISTORY or not all(number.is_integer() for number in body.ids):
            raise BadRequest(f"ids: expected 1 to {MAX_HISTORY} whole numbers")
        return success({"resent": await self._view.resend([int(number) for number in body.ids])})

    async def why(self, request: web.Request) -> web.Response:
        """Why each row of a rule is in its state."""
        name = request.query.get("rule", "")
        if not name:
            raise BadRequest("rule: which one? group/name, or a name that is unique")
        rows = self._view.why(name)
        if rows is None:
            return failure(404, "not_found", _which_rule(name, [rule.id for rule in self._view.rules()]))
        return success({"rule": name, "rows": [why_body(row) for row in rows]})

    async def signals(self, _request: web.Request) -> web.Response:
        """The signal catalogue, where this build has it."""
        rows = self._view.signals()
        if rows is None:
            return failure(404, "not_found", "this monitor has no signal catalogue")
        return success({"now": millis(self._view.process().now_ns), "signals": rows})

    async def reports(self, _request: web.Request) -> web.Response:
        """Backtest reports on disk, newest first; each is at ``/reports/NAME``."""
        return success({"reports": await self._reports.listing()})

    async def silences(self, _request: web.Request) -> web.Response:
        """Silences that are active or to come."""
        now_ns = self._view.process().now_ns
        return success([silence_body(silence, now_ns) for silence in self._view.silences()])

    async def add_silence(self, request: web.Request) -> web.Response:
        """Mute matching alerts for a while."""
        body = _decode(await request.read(), SilenceRequest)
        identity = await self._view.silence(to_silence(body, self._view.process().now_ns))
        return success({"silenceID": identity}, status=201)

    async def expire_silence(self, request: web.Request) -> web.Response:
        """End a silence now."""
        if not await self._view.expire_silence(request.match_info["id"]):
            return failure(404, "not_found", "no silence of this id is active or to come")
        return success(None)

    async def acks(self, _request: web.Request) -> web.Response:
        """Acknowledgements of alerts that have not resolved."""
        return success(
            [
                {
                    "fingerprint": ack.fingerprint,
                    "by": ack.by,
                    "at": millis(ack.at_ns),
                    "comment": ack.comment,
                    "until": millis(ack.until_ns),
                }
                for ack in self._view.acknowledgements()
            ]
        )

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Note that someone takes care of an alert."""
        body = _decode(await request.read(), AckRequest)
        if not body.by.strip():
            raise BadRequest("by: say who you are")
        now_ns = self._view.process().now_ns
        until_ns = now_ns + _duration_ns(body.duration) if body.duration else 0
        ack = Acknowledgement(body.fingerprint, body.by.strip()[:100], now_ns, body.comment[:500], until_ns)
        if not await self._view.acknowledge(ack):
            return failure(404, "not_found", "no active alert has this fingerprint")
        return success(None, status=201)

    async def withdraw_acknowledgement(self, request: web.Request) -> web.Response:
        """Take an acknowledgement back."""
        if not await self._view.withdraw_acknowledgement(request.match_info["fingerprint"]):
            return failure(404, "not_found", "this alert is not acknowledged")
        return success(None)


def _which_rule(name: str, rules: Sequence[str]) -> str:
    """Why a name names no rule, and which one may be meant; `rules` are ``group/name``."""
    same = [rule for rule in rules if rule.partition("/")[2] == name]
    if same:
        return f"{len(same)} rules are named {name!r}: {', '.join(same)}"
    known = rules if "/" in name else [rule.partition("/")[2] for rule in rules]
    near = did_you_mean(name, known)
    return f"no rule is named {name!r}" + (f"; {near}" if near else "; /api/v1/rules lists them")
