"""Placeholder of the window protocol; the engine's author replaces this docstring and module."""
