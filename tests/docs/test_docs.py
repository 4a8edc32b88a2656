"""What the documentation shows is true: YAML loads, commands and options exist, links lead somewhere."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from monitor.alerts.routes import RoutingConfig
from monitor.commands import COMMANDS, dispatch
from monitor.config import Config
from monitor.language import load_rules
from monitor.runtime.load import load_text

ROOT = Path(__file__).parents[2]
READMES = [ROOT / folder / "README.md" for folder in (".", "rules", "grafana")]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *READMES, ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"python -m monitor\b[^`\n|#]*")
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
yaml = YAML(typ="safe")


class _Anything(dict[str, str]):
    """An environment in which every variable is set."""

    def get(self, key: str, default: Any = None) -> str:
        return "https://placeholder.invalid/x" if key.endswith("URL") else "1"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(kind: str) -> Iterator[Any]:
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            if match[1] == kind:
                line = text.count("\n", 0, match.start()) + 2
                yield pytest.param(match[2], id=f"{name(page)}:{line}")


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_yaml_loads(text: str, tmp_path: Path) -> None:
    data = yaml.load(text)
    if isinstance(data, list):
        data = {"groups": [{"name": "docs", "rules": data}]}
        text = dumped(data)
    if "tests" in data:
        shutil.copytree(ROOT / "rules", tmp_path / "rules", ignore=shutil.ignore_patterns("tests"))
        (tmp_path / "rules" / "tests").mkdir()
        (tmp_path / "rules" / "tests" / "docs.yaml").write_text(text)
        assert dispatch(["test", str(tmp_path / "rules" / "tests")]) == 0
    elif "groups" in data:
        load_rules([("docs.yaml", text)])
    else:
        assert set(data) <= set(Config.model_fields), "neither rules, rule tests nor configuration"
        load_text(completed(data, text), "docs.yaml", ROOT, _Anything())


def completed(data: dict[str, Any], text: str) -> str:
    """A part of a configuration with what every configuration needs."""
    more: dict[str, Any] = {}
    if "feeds" not in data:
        more["feeds"] = [{"venue": "okx"}]
    if "routes" in data and "sinks" not in data:
        names = RoutingConfig.model_validate(data["routes"]).sink_names()
        more["sinks"] = [{"type": "console", "name": sink} for sink in sorted(names)]
    return text + (dumped(more) if more else "")


def dumped(data: Any) -> str:
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def commands() -> Iterator[Any]:
    for page in PAGES:
        for text in sorted({match[0].strip() for match in COMMAND.finditer(page.read_text())}):
            yield pytest.param(text, id=f"{name(page)}: {text}")


@functools.cache
def help_of(command: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        dispatch([command, "--help"])
    return out.getvalue()


@pytest.mark.parametrize("text", list(commands()))
def test_commands_and_their_options_exist(text: str) -> None:
    words = shlex.split(text)[3:]
    if words[:1] in (["--version"], ["--help"]):
        return
    command = words[0] if words and not words[0].startswith("-") else "run"
    assert command in COMMANDS
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(command)), f"{command} has no option {option}"


def links() -> Iterator[Any]:
    for page in PAGES:
        for target in sorted(set(LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)))):
            if "://" not in target:
                yield pytest.param(page, target, id=f"{name(page)}: {target}")


def anchors(page: Path) -> set[str]:
    """As the usual renderers make them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_links_lead_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists()
    assert not anchor or anchor in anchors(file)


def test_the_runbooks_are_listed_with_their_severity() -> None:
    folder = ROOT / "docs" / "runbooks"
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", (folder / "README.md").read_text(), re.MULTILINE)
    told = {
        page.stem: re.search(r"Severity: (\w+)\.", page.read_text())
        for page in folder.glob("*.md")
        if page.stem != "README"
    }
    assert dict(rows) == {stem: found and found[1] for stem, found in told.items()}


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    reached = {(ROOT / "docs" / target.partition("#")[0]).resolve() for target in LINK.findall(index)}
    top = {page for page in PAGES if page.parent == ROOT / "docs" and page.name != "index.md"}
    assert {name(page) for page in top - reached} == set()
