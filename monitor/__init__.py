"""Real-time streaming risk monitor for crypto markets."""

__version__ = "0.1.0"
