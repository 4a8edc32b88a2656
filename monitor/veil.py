"""Takes secrets out of a line of configuration before people see it; every column stays where it was.

A wrong line is shown with a caret beneath. What stands on it besides the mistake may be a password, even under a key that
is misspelt, so that no list of known secrets would have it: the words are looked for with the usual slips.
"""

from __future__ import annotations

import re
from functools import lru_cache

_KEYED = re.compile(
    r"""(?ix) (?P<key> (?<![\w-]) [\w-]{0,40}?
    (?: sec(?!ond|tion|urity)|sekr|serc|scr?et | tok|to?e?ke?n | pass?|psw|pwd | cred|auth | (?:ke?y|kye)(?=["']?\s{0,20}:) )
    [\w-]{0,40} ["']? \s{0,20} : \s{0,20} )
    (?P<value> "[^"]*"? | '[^']*'? | [{\[] .* | [^\s,}\]]+ )"""
)
_ADDRESS = re.compile(r"""(?i)\b(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?P<rest>[^\s'",}\]]+)""")
_KNOWN = frozenset({"http", "https", "ws", "wss", "mqtt", "mqtts", "smtp", "smtps"})
"""Schemes whose host is no secret; in others, of notification services, everything may be one."""


@lru_cache(maxsize=16)
def veiled(line: str) -> str:
    """Stars for what may be secret: values of keys that sound like it, users and paths of addresses.

    References to the environment and names of files are no secrets.

    >>> veiled("{url: 'https://u:p@example.com/hook', token: abc, key_file: k, secret: ${NAME}}")
    "{url: 'https://***@example.com/****', token: ***, key_file: k, secret: ${NAME}}"
    """
    return _ADDRESS.sub(_address, _KEYED.sub(_value, line))


def _value(found: re.Match[str]) -> str:
    key, value = found["key"], found["value"]
    name = key.rstrip().rstrip(":").rstrip().rstrip("\"'")
    return key + (value if name.endswith("_file") or value.strip("\"'").startswith("${") else _stars(value))


def _address(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"], found["rest"]
    if scheme.lower() not in _KNOWN:
        return f"{scheme}://{_stars(rest)}"
    user, at, place = rest.rpartition("@")
    host, slash, path = place.partition("/")
    return f"{scheme}://{_stars(user)}{at}{host}{slash}{_stars(path)}"


def _stars(text: str) -> str:
    """As long as the text; quotes stay."""
    return re.sub(r"""[^"']""", "*", text)
