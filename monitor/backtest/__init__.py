"""What would rules have done? A stretch of history through the live engine, life cycle and routing, and a report of it.

`ask` takes a question from end to end. `history` says what a source of history is and `histories` holds one file per source;
`run` drives the live parts over it (`exact` at the recorded instants), `journal` notes what they decide and `watch` what
they read; `report` puts that into one plain value, which `text` and `page` show. `compare` and `sweep` ask about other rules
and other thresholds, `verdict` is ``--fail-if``. See docs/backtest.md.
"""
