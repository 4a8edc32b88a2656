"""Reading YAML with positions."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ConfigError
from monitor.yamlsource import MAX_DEPTH, load_yaml


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, "f.yaml")
    return [(problem.line, problem.column, problem.message) for problem in caught.value.problems]


def test_core_schema_scalars() -> None:
    text = (
        "a: 1e9\nb: no\nc: 0x10\nd: 012\ne: ~\nf: '1'\ng: 2025-11-21\nh: .5\ni: -.inf\nj: true\nk:\nl: 0o17\nm: 1_000"
    )
    assert load_yaml(text, "f").data == {
        "a": 1e9, "b": "no", "c": 16, "d": 12, "e": None, "f": "1", "g": "2025-11-21", "h": 0.5, "i": float("-inf"),
        "j": True, "k": None, "l": 15, "m": "1_000",
    }  # fmt: skip


def test_positions_of_keys_values_and_missing_parts() -> None:
    document = load_yaml("groups:\n  - name: x\n    rules: [a,  b]\n", "f.yaml")
    assert document.position(("groups",), key=True) == (1, 1)
    assert document.position(("groups", 0, "name")) == (2, 11)
    assert document.position(("groups", 0, "name"), key=True) == (2, 5)
    assert document.position(("groups", 0, "rules", 1)) == (3, 17)
    assert document.position(("groups", 0, "absent")) == (2, 5)
    assert document.position(("groups", 0, "rules", 7, "deep")) == (3, 12)


@pytest.mark.parametrize(
    ("yaml", "line", "column"),
    [
        ("x: sum(a) > 1Q", 1, 13),
        ("x: 'sum(''a'') > 1Q'", 1, 18),
        ('x: "sum(\\"a\\") > 1Q"', 1, 18),
        ('x: "sum(\\u0061) \\\n   > 1Q"', 2, 6),
        ("x: |\n  sum(a)\n    > 1Q\n", 3, 7),
        ("x: >-  # folded\n  sum(a)\n  > 1Q\n", 3, 5),
        ("x: sum(a)\n\n  > 1Q\n", 3, 5),
        ("x: &name !bang-free\n", 0, 0),
        ("x: &name sum(a) > 1Q", 1, 19),
        ("# é\nx: 'é  1Q'\n", 2, 8),
        ("x: |2\n    sum(a)\n   > 1Q\n", 3, 6),
    ],
)
def test_the_caret_finds_its_character_in_every_scalar_style(yaml: str, line: int, column: int) -> None:
    if not line:
        assert problems(yaml)[0][2] == "tags are not supported"
        return
    document = load_yaml(yaml, "f.yaml")
    offset = document.data["x"].index("1Q")
    problem = document.problem(("x",), "bad", offset=offset, width=2)
    assert (problem.line, problem.column, problem.width) == (line, column, 2)
    assert problem.source[column - 1 : column + 1] == "1Q"


@given(
    st.text(st.sampled_from("ab 'é\"\\#:\n>1"), min_size=1).filter(lambda text: not text.isspace()),
    st.sampled_from(["'", '"', "|"]),
)
def test_every_visible_character_is_found_again(text: str, style: str) -> None:
    if style == "'":
        yaml = "x: '" + text.replace("\n", " ").replace("'", "''") + "'"
    elif style == '"':
        yaml = 'x: "' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    else:
        yaml = "x: |2\n" + "".join(f"  {line}\n" for line in text.split("\n"))
    document = load_yaml(yaml, "f.yaml")
    for offset, char in enumerate(document.data["x"]):
        problem = document.problem(("x",), "", offset=offset)
        if not char.isspace() and not (style == '"' and char in '"\\'):
            assert problem.source[problem.column - 1] == char


def test_all_duplicate_keys_are_reported_at_once() -> None:
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 3\n") == [(2, 11, "duplicate key 'c'"), (3, 1, "duplicate key 'a'")]


def test_merge_keys_give_way_to_explicit_ones() -> None:
    document = load_yaml("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n", "f")
    assert document.data["use"] == {"x": 1, "y": 3}
    assert document.position(("use", "x")) == (1, 14)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("a: [1", "not YAML"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("a: *nope", "no anchor &nope"),
        ("a: !!python/object:os.system x", "tags are not supported"),
        ("[" * 200, f"nested more than {MAX_DEPTH} deep"),
        ("a: \x00", "is not allowed in YAML"),
        ("? [a]\n: 1", "a key must be plain text"),
        ("a: &a [*a]", "no anchor &a"),
        ("<<: 3", "<< takes a mapping"),
        ("a: 1\n  b: 2", "not YAML"),
        ("x" * (1 << 20) + "y", "larger than 1024 KiB"),
    ],
)
def test_refusals(yaml: str, message: str) -> None:
    ((line, column, text),) = problems(yaml)
    assert message in text
    assert line >= 1
    assert column >= 1


def test_a_billion_laughs_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "values after aliases" in problems("\n".join(lines))[0][2]


def test_an_empty_file_is_none() -> None:
    assert load_yaml("", "f").data is None
    assert load_yaml("# only a comment\n", "f").data is None


@given(st.text(st.sampled_from("ab:-[]{}'\"|>&*!%@#,?\n \t0.\x85\ufeff\x00"), max_size=60))
def test_any_text_loads_or_is_refused_with_a_place(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert load_yaml(text, "f.yaml").position(()) >= (1, 1)
        return
    assert all(line >= 1 and column >= 1 for line, column, _ in problems(text))
