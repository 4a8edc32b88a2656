"""From the events that wait to the engine's verdicts, and what is kept of that: tape, windows, a run once more."""
