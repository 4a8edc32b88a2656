"""What would rules have done? A stretch of history through the live engine, life cycle and routing, and a report of it.

`history` says what a source of history is and `histories` holds one file per source; `run` drives the live parts over it
and `journal` notes what they decide; `report` puts that into one plain value, which `text` and `html` show. `compare`
and `sweep` ask about other rules and other thresholds, `verdict` is ``--fail-if``. See docs/backtest.md.
"""
