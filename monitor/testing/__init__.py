"""Public fakes for tests and the demo: local venues that speak the real protocols, clocks, a scenario. Synthetic."""
