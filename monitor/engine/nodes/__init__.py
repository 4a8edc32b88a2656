"""Compiled sub-expressions, by what they do."""
