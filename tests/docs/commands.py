"""Every command that the documentation and the commands' own help show, and what becomes of each in the test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.commands import COMMANDS
from monitor.commands.completion import parser_of

ROOT = Path(__file__).parents[2]
READMES = [ROOT / folder / "README.md" for folder in (".", "rules", "grafana")]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *READMES, ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python3? |scripts/|docker |systemctl |sudo |curl |kill -(?!9)|source )[^`\n]+)`")
START = re.compile(r"\$ |(?:\w+=\S+ )*(?:python|scripts/|docker|systemctl|sudo|curl|git|cd|export|source) ?")

SHOWN_NOT_RUN = {
    r"sudo (mkdir|tar|cp|scripts/venv|\.venv)|git archive|cd /opt": "as one block: test_the_service_is_installed",
    r"(sudo )?systemctl ": "there is no systemd in the tests; tests/deploy reads the unit with systemd-analyze",
    r"source \.venv": "the environment that scripts/run makes",
    r"backtest --exact$": "an option, named in passing",
    r"docker |export GRAFANA_PASSWORD": "there is no container engine in the tests; tests/deploy checks what it would read",
    r"scripts/test": "it is what runs these tests",
    r"scripts/run( |$)": "it makes an environment, which needs the network, and then is: python -m monitor",
    r"notify-test --sink shout": "the sink of the how-to; tests/docs/test_how_to.py runs it",
    r"python benchmarks/|python scripts/(soak|backtest_example)|scripts/(\w*kill_loop|backtest_example)": "takes minutes and the whole machine; its options are checked",
    r"scripts/(screenshot|dashboard_pictures)\.py|python grafana/build\.py": "writes pictures or dashboards into the repository; its options are checked",
    r"(python )?scripts/(gen_\w+|november)\.py|python -m tests": "writes into the repository; its --check is a test of its own",
    r"why RULE|ack FINGERPRINT|--explain RULE$|notify-test --sink NAME|--tape DIR|--mapping FILE|status`, ": "a placeholder; the same with values stands elsewhere",
    r"1f2e3d4c5b6a7988|4f0c21d6a58b93e7|--resend 17 18": "of no monitor; tests/commands/test_client.py does the same with what there is",
    r"--sink telegram|top --url http://risk": "nobody listens there",
    r"/etc/bash_completion\.d|~/\.": "writes into the home of who runs the tests; tests/commands/test_completion.py loads each script",
    r"import --mapping liquidations\.yaml": "the reader's own file; the same with candles is run",
}
"""What is not run, and why."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command line as a reader would type it."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text}"


def commands() -> Iterator[Command]:
    """All of them, page by page."""
    for page in PAGES:
        name, text = str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block[1] in ("", "sh", "bash"):
                yield from _in_block(name, text.count("\n", 0, block.start()) + 2, block[2])
        prose = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
        for number, line in enumerate(prose.splitlines(), 1):
            for found in INLINE.finditer(line):
                yield Command(name, number, found[1].strip())


def examples() -> Iterator[Command]:
    """Those of every command's help; what stands behind two spaces is a remark."""
    for name in COMMANDS:
        epilog = parser_of(name).epilog or ""
        for number, line in enumerate(epilog.partition("examples:\n")[2].splitlines(), 1):
            if not line.startswith("  "):
                break
            yield Command(f"monitor {name} --help", number, re.split(r"\s{2,}", line.strip())[0])


def _in_block(page: str, line: int, block: str) -> Iterator[Command]:
    number, whole = line, block.replace("\\\n", "\\ \x00")  # a continued line stays one command
    for text in whole.splitlines():
        command = re.sub(r"\s+#.*$", "", text.replace("\\ \x00", "")).strip()
        if START.match(command):
            yield Command(page, number, command.removeprefix("$ "))
        number += 1 + text.count("\x00")


def reason_not_run(command: Command) -> str | None:
    """Why this command is not run; None when it is."""
    found = (reason for pattern, reason in SHOWN_NOT_RUN.items() if re.search(pattern, command.text))
    return next(found, None)
