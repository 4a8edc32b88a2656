"""From verdicts to receivers: the desk, the outbox, what must survive a kill, and what the monitor watches of itself."""
