"""Completion scripts for three shells, from a description of the commands. Pure text."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

DEFAULT = "run"
"""The command that is meant where none is named."""


@dataclass(frozen=True, slots=True)
class Option:
    """``names`` such as ``--config``; `choices` are the only values it takes, where there are any."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One or two words, its options, and the words that may follow it."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    words: tuple[str, ...]


def _flags(command: Command) -> list[str]:
    return [name for option in command.options for name in option.names]


def _quoted(text: str) -> str:
    return shlex.quote(text)


# -- bash

_BASH = """# bash completion for monitor: source it, or put it into /etc/bash_completion.d
_monitor() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path= word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
{walk}
    esac
  done
  case "$path $prev" in
{values}
  esac
  local words=
  case "$path" in
{words}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ ${{#COMPREPLY[@]}} -eq 0 && $cur != -* ]] && COMPREPLY=($(compgen -f -- "$cur"))
  return 0
}}
complete -o filenames -F _monitor monitor
"""


def bash(commands: Sequence[Command]) -> str:
    """One function over all commands."""
    first = [command.path[0] for command in commands if len(command.path) == 1]
    walk = [f'      " {name}") path={name} ;;' for name in first]
    walk += [f'      "{" ".join(c.path)}") path={_quoted(" ".join(c.path))} ;;' for c in commands if len(c.path) == 2]
    words = [f'    "") words={_quoted(" ".join([*first, "--help", "--version"]))} ;;']
    words += [
        f'    "{" ".join(command.path)}") words={_quoted(" ".join([*command.words, *_flags(command)]))} ;;'
        for command in commands
    ]
    return _BASH.format(walk="\n".join(walk), values="\n".join(_bash_values(commands)), words="\n".join(words))


def _bash_values(commands: Sequence[Command]) -> list[str]:
    lines = []
    for command in commands:
        for option in command.options:
            if not option.takes_value:
                continue
            paths = [" ".join(command.path), *([""] if command.path == (DEFAULT,) else [])]
            pattern = "|".join(f'"{path} {name}"' for path in paths for name in option.names)
            reply = f"-W {_quoted(' '.join(option.choices))}" if option.choices else "-f"
            lines.append(f'    {pattern}) COMPREPLY=($(compgen {reply} -- "$cur")); return 0 ;;')
    return lines


# -- zsh

_ZSH = """#compdef monitor
# zsh completion for monitor: a file _monitor in a folder of $fpath
_monitor() {{
  local -a commands
  commands=(
{commands}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local path="${{words[2]}}"
  case "$path ${{words[3]}}" in
{nested}
  esac
  case "$path" in
{arguments}
  esac
}}
if [[ "$funcstack[1]" == _monitor ]]; then _monitor "$@"; else compdef _monitor monitor; fi
"""


def zsh(commands: Sequence[Command]) -> str:
    """One function; commands carry their descriptions."""
    listed = [f"    {_quoted(f'{c.path[0]}:{c.help}')}" for c in commands if len(c.path) == 1]
    nested = [
        f'    "{" ".join(c.path)}") (( CURRENT > 3 )) && path={_quoted(" ".join(c.path))} ;;'
        for c in commands
        if len(c.path) == 2
    ]
    arguments = [f'    "{" ".join(command.path)}") {_zsh_arguments(command)} ;;' for command in commands]
    return _ZSH.format(
        commands="\n".join(listed), nested="\n".join(nested or ["    *) ;;"]), arguments="\n".join(arguments)
    )


def _zsh_arguments(command: Command) -> str:
    specs = [_zsh_option(name, option) for option in command.options for name in option.names]
    rest = f"*: :({' '.join(command.words)})" if command.words else "*: :_files"
    return " ".join(["_arguments", *map(_quoted, [*specs, rest])])


def _zsh_option(name: str, option: Option) -> str:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", " ")
    action = f"({' '.join(option.choices)})" if option.choices else "_files"
    return f"*{name}[{text}]" + (f":value:{action}" if option.takes_value else "")


# -- fish


def fish(commands: Sequence[Command]) -> str:
    """One line per command and option."""
    first = [command for command in commands if len(command.path) == 1]
    names = " ".join(command.path[0] for command in first)
    lines = ["# fish completion for monitor: a file monitor.fish in ~/.config/fish/completions"]
    none_yet = _quoted(f"not __fish_seen_subcommand_from {names}")
    lines += [f"complete -c monitor -n {none_yet} -f -a {c.path[0]} -d {_quoted(c.help)}" for c in first]
    for command in commands:
        when = _quoted("; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.path))
        lines += [f"complete -c monitor -n {when} -f -a {_quoted(word)}" for word in command.words]
        lines += [_fish_option(when, option) for option in command.options]
    return "\n".join([*lines, ""])


def _fish_option(when: str, option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" if option.takes_value else ""
    return f"complete -c monitor -n {when} {names}{value} -d {_quoted(option.help)}"


SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "fish": fish, "zsh": zsh}
