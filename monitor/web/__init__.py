"""The HTTP surface: API, metrics endpoint, event stream and live page, all read from `monitor.telemetry.view`."""
