"""The report as one HTML file: `html` puts it together, `chart` draws, the style and the script stand beside them."""

from monitor.backtest.page.html import as_html

__all__ = ["as_html"]
