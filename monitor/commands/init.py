"""``init``: ask five questions and write a commented configuration with starter rules; nothing is overwritten."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.commands.arguments import Parser
from monitor.config import DEFAULT_CHANNELS, parse_config
from monitor.errors import MonitorError
from monitor.feeds import FEEDS, feed_class
from monitor.language import load_rules
from monitor.runtime.load import CHECKS

EPILOG = """examples:
  python -m monitor init                         five questions, then config.yaml and rules/starter.yaml
  python -m monitor init --yes --dir desk        the same without questions, with the defaults, in the folder desk
exit code: 0 when written, 2 when a file is in the way or the input ends early, 130 after Ctrl-C; then nothing is written
"""


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `check` returns the answer in its written form or raises ValueError with what was expected."""

    name: str
    text: str
    default: str
    check: Callable[[str], str]


def run(argv: Sequence[str]) -> int:
    """Ask, check, write."""
    parser = Parser("monitor init", description=__doc__, epilog=EPILOG)
    parser.add_argument("--dir", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    parser.add_argument("--yes", action="store_true", help="take every default, ask nothing")
    options = parser.parse_args(argv)
    targets = {options.dir / "config.yaml": configuration, options.dir / "rules" / "starter.yaml": rules}
    make_sure_of_room(options.dir, targets)
    answers = {question.name: question.default if options.yes else ask(question) for question in QUESTIONS}
    texts = {path: write(answers) for path, write in targets.items()}
    verify(answers, options.dir)
    write_all(texts)
    print("\n".join(f"wrote {path}" for path in texts))
    print(_next_steps(answers, options.dir / "config.yaml"))
    return 0


def make_sure_of_room(folder: Path, targets: Iterable[Path]) -> None:
    """Find out before the first question whether the answers could be written.

    Raises:
        MonitorError: Something is in the way.
    """
    in_the_way = [str(path) for path in targets if path.exists()]
    if in_the_way:
        verb = "exists" if len(in_the_way) == 1 else "exist"
        raise MonitorError(f"{' and '.join(in_the_way)} {verb} already; move it away or choose another --dir")
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise MonitorError(f"{folder} cannot be written: {above} is {'not yours' if above.is_dir() else 'no folder'}")


def write_all(texts: Mapping[Path, str]) -> None:
    """Write every file or none.

    Raises:
        MonitorError: One cannot be written; those before it are gone again.
    """
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:  # x: whoever created it meanwhile keeps it
                written.append(path)
                file.write(text)
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise MonitorError(f"{error.filename or 'nothing'} cannot be written: {error.strerror or error}") from None
        raise


def ask(question: Question) -> str:
    """Ask until the answer makes sense; an empty answer is the default.

    Raises:
        MonitorError: The input ended.
        KeyboardInterrupt: Ctrl-C; nothing is written then.
    """
    while True:
        sys.stdout.write(f"{question.text} [{question.default}]: ")
        sys.stdout.flush()
        try:
            line = _line()
            if not line:
                sys.stdout.write("\n")
                raise MonitorError("the input ended before all questions were answered; --yes takes the defaults")
            return question.check(line.strip() or question.default)
        except ValueError as error:
            print(f"  {error}")


def _line() -> str:
    """The next line of the input, empty at its end.

    A Ctrl-C that comes after the interpreter last looked for signals and before the system call waits would be heard
    only with the next key. So a terminal is waited for in short turns: it hands out whole lines, none is held back.

    Raises:
        ValueError: The bytes are no text.
        KeyboardInterrupt: Ctrl-C.
    """
    while sys.stdin.isatty() and not select.select([sys.stdin], [], [], 0.2)[0]:
        pass
    return sys.stdin.readline()


def verify(answers: Mapping[str, str], base: Path) -> None:
    """Load what is about to be written, so that `init` never leaves a configuration that does not start.

    Raises:
        ConfigError: A mistake of this command.
    """
    secrets = dict.fromkeys(re.findall(r"\$\{(\w+)\}", configuration(answers)), "https://placeholder.invalid")
    parse_config(configuration(answers), "config.yaml", base, secrets, CHECKS)
    load_rules([("rules/starter.yaml", rules(answers))])


# -- the questions -----------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _venues(text: str) -> str:
    unknown = [word for word in _words(text) if word not in FEEDS]
    if unknown or not _words(text):
        raise ValueError(f"unknown venue {', '.join(unknown)}; there are: {', '.join(FEEDS)}")
    return ", ".join(dict.fromkeys(_words(text)))


def _count(text: str) -> str:
    if not text.isdecimal() or not 1 <= int(text) <= 5000:
        raise ValueError("expected a number from 1 to 5000")
    return str(int(text))


def _coins(text: str) -> str:
    coins = [word.upper() for word in _words(text)]
    if not coins or not all(re.fullmatch(r"[A-Z0-9]{1,20}", coin) for coin in coins):
        raise ValueError("expected coins such as BTC, ETH, SOL")
    return ", ".join(dict.fromkeys(coins))


def _sink(text: str) -> str:
    if text not in SINKS:
        raise ValueError(f"expected one of: {', '.join(SINKS)}")
    return text


def _amount(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,5}(\.\d+)?[kMB]", text):
        raise ValueError("expected an amount such as 300M or 1.5B")
    return text


SINKS: Mapping[str, str] = {
    "none": "",
    "file": "  - type: file\n    path: data/alerts.jsonl       # one JSON object per line\n",
    "mqtt": (
        "  - type: mqtt\n    url: mqtt://127.0.0.1:1883\n    # username: monitor\n    # password: ${MQTT_PASSWORD}\n"
    ),
    "telegram": (
        "  - type: telegram\n    bot_token: ${TELEGRAM_BOT_TOKEN}\n"
        "    chat_id: ${TELEGRAM_CHAT_ID}\n    min_severity: warning\n"
    ),
    "webhook": "  - type: webhook                # Alertmanager's version 4 body\n    url: ${WEBHOOK_URL}\n",
    "alertmanager": '  - type: alertmanager\n    urls: ["http://127.0.0.1:9093"]\n',
}
"""Answer to question four -> lines of the configuration. Secrets stay in the environment."""

QUESTIONS = (
    Question("venues", "1/5 Which venues?", "binance_usdm, bybit, okx", _venues),
    Question("top", "2/5 How many contracts per venue, largest open interest first?", "50", _count),
    Question("coins", "3/5 Which coins matter most to you?", "BTC, ETH, SOL", _coins),
    Question("sink", f"4/5 Where should alerts go besides the terminal ({', '.join(SINKS)})?", "file", _sink),
    Question("limit", "5/5 How many dollars liquidated in one hour are worth waking somebody?", "500M", _amount),
)


# -- what is written ---------------------------------------------------------------------------------------------------


def configuration(answers: Mapping[str, str]) -> str:
    """The text of config.yaml."""
    feeds = "".join(_feed(venue, answers["top"]) for venue in _words(answers["venues"]))
    return f"""\
# Written by `python -m monitor init`; yours to edit. `python -m monitor check` explains every mistake in it.
# Public market data needs no key. Secrets are written as ${{NAME}} and come from the environment.

listen: 127.0.0.1:9108          # live page, metrics and API; loopback only
data_dir: data                  # state that survives a restart
rules: [rules/*.yaml]

feeds:
{feeds}
sinks:
  - type: console
{SINKS[answers["sink"]]}
watch: [{answers["coins"]}]    # coins with metric labels of their own; the rest is summed up as "other"

engine:
  min_coverage: 80%             # with less data than this a rule is held instead of believed
"""


def _feed(venue: str, top: str) -> str:
    laws = feed_class(venue).spec.laws
    channels = ", ".join(channel.value for channel in DEFAULT_CHANNELS if channel in laws)
    return f"  - venue: {venue}\n    channels: [{channels}]\n    top: {top}\n"


def rules(answers: Mapping[str, str]) -> str:
    """The text of rules/starter.yaml."""
    coins = "|".join(_words(answers["coins"]))
    return f"""\
# Starter rules, written by `python -m monitor init`. The language is explained in docs/rules.md.
groups:
  - name: starter
    rules:
      # Venues publish less than what happens, so this is a lower bound; see docs/faq.md.
      - alert: LiquidationsInOneHour
        params: {{limit: {answers["limit"]}}}
        expr: sum(liquidations[1h]) > $limit
        clear: sum(liquidations[1h]) < $limit / 2
        keep_firing_for: 10m
        labels: {{severity: critical}}
        annotations:
          summary: "{{{{ value | usd }}}} liquidated in one hour, reported ({{{{ coverage | pct }}}} of the feeds live)"

      - alert: PriceFallsFast
        expr: change(price{{base=~"{coins}"}}[1h]) by (base) < -5%
        keep_firing_for: 15m
        labels: {{severity: warning}}
        annotations:
          summary: "{{{{ labels.base }}}}: {{{{ value | pct }}}} in one hour"

      - alert: FundingTurnsNegative
        expr: crosses_below(weighted_avg(funding_8h{{base=~"{coins}"}}, open_interest) by (base), 0)
        keep_firing_for: 10m
        labels: {{severity: info}}
        annotations:
          summary: "{{{{ labels.base }}}}: funding turned negative, {{{{ value | bp }}}} per 8 hours"

      - alert: FeedDown
        expr: last(feed_up) by (venue) == 0
        for: 30s
        min_coverage: 0%
        labels: {{severity: warning}}
        annotations:
          summary: "{{{{ labels.venue }}}} is silent: rules that need it are held"
"""


def _next_steps(answers: Mapping[str, str], config: Path) -> str:
    names = re.findall(r"\$\{(\w+)\}", re.sub(r"#.*", "", SINKS[answers["sink"]]))
    needed = f"set {', '.join(names)} in the environment, then\n  " if names else ""
    return f"next:\n  {needed}python -m monitor check --config {config}\n  python -m monitor --config {config}"
