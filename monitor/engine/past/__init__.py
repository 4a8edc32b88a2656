"""Samples that were taken over time, and history that comes late."""
