"""To come."""

from monitor.backtest.ask import Answer


def as_html(found: Answer) -> str:
    """Nothing yet."""
    return str(found.plain())
