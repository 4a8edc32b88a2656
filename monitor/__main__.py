"""``python -m monitor``: hand the arguments to a command and return its exit code."""

from __future__ import annotations

import sys

from monitor.commands import dispatch


def main() -> int:
    """Run the command line; 0 is success, 1 a failed check, 2 wrong input."""
    return dispatch(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
