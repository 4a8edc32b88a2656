"""What the commands that talk to a running monitor share: its address, its token, one JSON request."""

from __future__ import annotations

import argparse
import getpass
import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any

from monitor.errors import MonitorError
from monitor.format import printable

DEFAULT_URL = "http://127.0.0.1:9108"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes where it was sent, and not where that place points to."""

    def redirect_request(self, *_args: object, **_fields: object) -> None:
        """Refuse: the answer is then an error, with its status."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--url`` and ``--json``."""
    add_url_option(parser)
    parser.add_argument("--json", action="store_true", help="print the API's JSON")


def add_url_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--url``."""
    parser.add_argument(
        "--url",
        default=os.environ.get("MONITOR_URL", DEFAULT_URL),
        help=f"the running monitor (default {DEFAULT_URL}, or $MONITOR_URL)",
    )


def add_author_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--by`` and ``--comment``."""
    parser.add_argument("--comment", default="", metavar="TEXT", help="why, for the others")
    parser.add_argument("--by", default=_user(), metavar="NAME", help="who you are (default: the user's name)")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has a number only
        return f"user {os.getuid()}"


def show(text: str) -> None:
    """Print lines that hold words of others: nothing in them drives the terminal."""
    print("\n".join(map(printable, text.split("\n"))))


def token_from_environment() -> str:
    """The API token of ``$MONITOR_TOKEN``; a token on the command line would show in the process list."""
    token = os.environ.get("MONITOR_TOKEN", "")
    if not token:
        raise MonitorError("changing state needs the API token in the environment variable MONITOR_TOKEN")
    return token


def call(url: str, path: str, *, method: str = "GET", body: dict[str, Any] | None = None, token: str = "") -> Any:
    """Send one request and return the decoded reply.

    Raises:
        MonitorError: The monitor does not answer, or refuses, with its words.
    """
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if data else {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    address = url.rstrip("/") + path
    if not address.startswith(("http://", "https://")):
        raise MonitorError(f"--url must start with http:// or https://, not {url!r}")
    try:
        request = urllib.request.Request(address, data=data, headers=headers, method=method)  # noqa: S310 - checked
        with _OPENER.open(request, timeout=10) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise MonitorError(f"{address} answered {error.code}: {_words(error)}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise MonitorError(
            f"no monitor answers at {url}: {_cause(error)}; is it running, and is --url right?"
        ) from None
    except json.JSONDecodeError:
        raise MonitorError(f"{address} did not answer with JSON; is this a monitor?") from None
    except http.client.InvalidURL as error:
        raise MonitorError(f"--url {url!r} is no address: {error}") from None
    except http.client.HTTPException:
        raise MonitorError(f"{address} did not answer with HTTP; is this a monitor?") from None
    except ValueError as error:  # what urllib makes of half an IPv6 address
        raise MonitorError(f"--url {url!r} is no address: {error}") from None


def _cause(error: Exception) -> str:
    """Why, in words, without the error's number."""
    cause = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause)


def _words(error: urllib.error.HTTPError) -> str:
    with error:
        text = error.read(2000).decode("utf-8", "replace")
    try:
        return str(json.loads(text).get("error", text))
    except (json.JSONDecodeError, AttributeError):
        return text.strip() or str(error.reason)
