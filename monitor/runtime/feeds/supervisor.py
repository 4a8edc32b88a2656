"""Keeps one logical connection of a feed alive: back-off, budget, renewal by overlap, honest gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from monitor.clock import NS_PER_S
from monitor.errors import FeedRefused
from monitor.events import Channel
from monitor.feed import Connection, Send
from monitor.runtime.feeds.backoff import Backoff, ConnectBudget
from monitor.runtime.feeds.desk import Desk
from monitor.runtime.feeds.link import Link
from monitor.runtime.feeds.patience import Patience
from monitor.transports import ws


class Supervisor:
    """One logical connection: a succession of links, of which at most two overlap.

    A lost link is replaced after a back-off with full jitter that only stable data resets, within the venue's
    connection budget. A link that must end soon (the venue's lifetime, an announced close, a subscription that went
    silent, other topics) is replaced by overlap: the successor is opened beside it and takes over once it delivers.
    With ``hot_standby`` a spare is always kept beside the link, so that even a sudden loss makes no gap.

    Args:
        desk: Shared with the other connections of the feed.
        connection: What to open.
        budget: Shared with the other connections of the feed.
        number_link: Gives each link its number.
        joining: Whether the feed was running before this connection was added.
    """

    def __init__(
        self,
        desk: Desk,
        connection: Connection,
        budget: ConnectBudget,
        number_link: Callable[[], int],
        *,
        joining: bool = False,
    ) -> None:
        settings = desk.settings
        self.connection = connection
        self.link: Link | None = None
        self.state = "waiting"
        self._desk = desk
        self._budget = budget
        self._number_link = number_link
        self._backoff = Backoff(settings.backoff_base_s, settings.backoff_cap_s, desk.rng)
        self._wake = asyncio.Event()
        self._successor: Link | None = None
        self._spare: Link | None = None
        self._renewal = ""
        self._successor_due_ns = 0
        self._least_wait_s = 0.0
        self._sleeping: dict[Channel, int] = {}
        self._patience = Patience(settings.idle_s or desk.feed.spec.idle_s)
        desk.liveness.expect(connection.name, _channels(connection), joining=joining)

    async def run(self) -> None:
        """Connect and stay connected until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self.link, self._renewal = None, ""
                    self.link = await self._open(tasks)
                    if self.link is not None:
                        await self._serve(tasks)
        finally:
            for link in (self.link, self._successor, self._spare):
                if link is not None:
                    link.close()

    def tick(self, mono_ns: int) -> None:
        """Called about once a second: health of the links, and whether a renewal is due."""
        for link in (self.link, self._successor, self._spare):
            if link is not None:
                link.tick(mono_ns)
        if self._successor is not None and mono_ns > self._successor_due_ns and not self._successor.settled.done():
            self._successor.fail("not_ready")
        if self.link is None or self.link.loss is not None:
            return
        if self.link.delivered_s >= self._desk.settings.stable_s:
            self._backoff.reset()
        self._patience.delivered(self.link.delivered_s)
        self._watch_silence(mono_ns)
        self._watch_lifetime(mono_ns)

    def update(self, connection: Connection) -> None:
        """Carry other topics from now on, without a gap."""
        self.connection = connection
        self._desk.liveness.expect(connection.name, _channels(connection), joining=True)
        self._renew("topics")

    # Opening

    async def _open(self, tasks: asyncio.TaskGroup, *, standby: bool = False) -> Link | None:
        """Try once to connect; None when that failed, which is counted."""
        await self._wait_for_turn()
        desk, connection = self._desk, self.connection
        self._set_state(connection, "connecting")
        try:
            link = Link(
                desk, connection, self._number_link(), self._on_change,
                patience=self._patience, standby=standby, suspects=frozenset(self._sleeping),
            )  # fmt: skip
            await ws.connect(
                connection.url,
                link,
                clock=desk.clock,
                headers=connection.headers,
                max_frame_bytes=desk.feed.spec.limits.max_frame_bytes,
                timeout_s=desk.settings.connect_timeout_s,
                tls=desk.tls,
            )
        except (OSError, FeedRefused) as error:
            self._failed(reason_of(error), str(error) or type(error).__name__, getattr(error, "retry_after_s", None))
            return None
        self._set_state(connection, "open")
        self._desk.log.info(
            "feed.connected", connection=connection.name, topics=len(connection.topics), standby=standby
        )
        tasks.create_task(self._send_paced(link, link.first_sends), name=f"subscribe-{connection.name}")
        return link

    async def _wait_for_turn(self) -> None:
        """Wait for the back-off, then for the budget."""
        clock = self._desk.clock
        wait_s = max(self._backoff.wait_s(), self._least_wait_s)
        self._least_wait_s = 0.0
        if wait_s:
            self._set_state(self.connection, "backing off")
            self._desk.log.info("feed.reconnect_scheduled", connection=self.connection.name, wait_s=round(wait_s, 3))
            await clock.sleep_until(clock.mono_ns() + int(wait_s * NS_PER_S))
        await clock.sleep_until(self._budget.take(clock.mono_ns()))

    async def _send_paced(self, link: Link, sends: Iterable[Send]) -> None:
        clock = self._desk.clock
        for send in sends:
            if send.after_ns:
                await clock.sleep_until(link.opened_ns + send.after_ns)
            link.send(send.frame)

    def _failed(self, reason: str, words: str, retry_after_s: float | None = None) -> None:
        self._desk.stats.reconnects[reason] += 1
        self._backoff.failed()
        self._least_wait_s = retry_after_s or 0.0
        self._desk.log.warning("feed.connect_failed", connection=self.connection.name, reason=reason, words=words[:300])

    # Serving

    async def _serve(self, tasks: asyncio.TaskGroup) -> None:
        """Return when the link is lost and no successor stands in."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            assert self.link is not None
            if self.link.loss is not None:
                return
            if self._renewal or (self._desk.settings.hot_standby and self._spare is None):
                await self._replace(tasks)

    async def _replace(self, tasks: asyncio.TaskGroup) -> None:
        """Open a successor beside the link and let it take over once it delivers, or keep it as the spare."""
        reason, self._renewal = self._renewal, ""
        settings, clock = self._desk.settings, self._desk.clock
        successor = await self._open(tasks, standby=True)
        if successor is None:
            self._renew(reason)
            return
        self._successor = successor
        self._successor_due_ns = clock.mono_ns() + int(settings.renewal_patience_s * NS_PER_S)
        if self.link is not None and self.link.loss is not None:
            successor.standby = False
            self._announce(successor)
        delivers = await successor.settled and successor.loss is None
        self._successor = None
        self._wake.set()
        if not delivers:
            self._failed("not_ready", f"successor for {reason or 'hot standby'}")
            self._renew(reason)
        elif reason or self.link is None or self.link.loss is not None:
            self._take_over(successor, reason or "failover")
        else:
            self._spare = successor

    def _take_over(self, successor: Link, reason: str) -> None:
        old, self.link = self.link, successor
        successor.standby = False
        if self._spare is not None:  # it has the old topics, or the old silence; `_serve` opens a new one
            self._spare.close()
            self._spare = None
        self._desk.stats.reconnects[reason] += 1
        self._desk.log.info("feed.renewed", connection=self.connection.name, reason=reason)
        if old is not None:
            old.close()
        self._announce(successor)

    def _renew(self, reason: str) -> None:
        """Have the link replaced; a retry waits for the back-off in `_open`."""
        self._renewal = reason
        self._wake.set()

    def _on_change(self, link: Link) -> None:
        """A link came to life on a channel, will be closed, or is lost. A successor's fate is `_replace`'s business."""
        if link is self._spare and link.loss is not None:
            self._on_spare_lost(link.loss.reason)
        if link.standby:
            return
        if link.loss is not None:
            self._on_lost(link)
            return
        if link.closing_words and not self._renewal and self._successor is None:
            self._renew("closing_notice")
        self._announce(link)

    def _on_lost(self, link: Link) -> None:
        assert link.loss is not None
        desk, reason = self._desk, link.loss.reason
        if reason == "closed":
            return
        if reason == "idle":
            self._patience.replaced()
        self._set_state(link.connection, "lost")
        desk.stats.reconnects[reason] += 1
        desk.log.warning("feed.lost", connection=link.connection.name, reason=reason, words=link.loss.words)
        self._backoff.failed()
        if link is self.link and self._promote():
            return
        for channel in link.channels:
            desk.liveness.down(link.connection.name, channel, link.last_seen_ns(), reason)
        if self._successor is not None:
            self._successor.standby = False
            self._announce(self._successor)
        self._wake.set()

    def _on_spare_lost(self, reason: str) -> None:
        self._spare = None
        self._desk.stats.reconnects[reason] += 1
        self._backoff.failed()
        self._wake.set()

    def _promote(self) -> bool:
        """Let the spare take over in the same moment, without a gap; False when there is none."""
        spare, self._spare = self._spare, None
        if spare is None or spare.loss is not None:
            return False
        self._set_state(spare.connection, "open")
        self._take_over(spare, "failover")
        self._wake.set()
        return True

    def _announce(self, link: Link) -> None:
        for channel in link.up:
            self._sleeping.pop(channel, None)
            self._desk.liveness.up(link.connection.name, channel, self._desk.clock.wall_ns(), link.begun_ns)

    # Watching

    def _watch_silence(self, mono_ns: int) -> None:
        """Replace a link of which a subscription looks dead, less often each time that it stays silent."""
        assert self.link is not None
        dead = self.link.silent(mono_ns, self._sleeping)
        if not dead or self._renewal or self._successor is not None:
            return
        for channel in dead:
            self._sleeping[channel] = self._sleeping.get(channel, 0) + 1
            self._desk.liveness.down(
                self.connection.name, channel, self.link.last_seen_ns(channel), "dead_subscription"
            )
        self._desk.log.warning("feed.dead_subscription", connection=self.connection.name, channels=dead)
        self._renew("dead_subscription")

    def _watch_lifetime(self, mono_ns: int) -> None:
        assert self.link is not None
        lifetime_s = self._desk.feed.spec.limits.lifetime_s
        if lifetime_s is None or self._renewal or self._successor is not None:
            return
        lead_s = min(self._desk.settings.renewal_lead_s, lifetime_s / 10)
        spread = 1.0 + (self.link.number % 8) / 8
        if mono_ns - self.link.opened_ns > (lifetime_s - lead_s * spread) * NS_PER_S:
            self._renew("renewal")

    def _set_state(self, connection: Connection, state: str) -> None:
        if connection.name == self.connection.name:
            self.state = state


def reason_of(error: Exception) -> str:
    """The metric label of a failed connect."""
    match error:
        case FeedRefused() | ConnectionRefusedError():
            return "refused"
        case TimeoutError() | ConnectionError():
            return "handshake"
        case _:
            return "unreachable"


def _channels(connection: Connection) -> frozenset[Channel]:
    return frozenset(channel for topic in connection.topics for channel in topic.channels)
