"""What `monitor.telemetry.view` tells, as plain values: reading one has no effect.

Times are unix nanoseconds of the monitor's clock (market time in a demo), 0 where something has not happened yet.
Missing is NaN or None, never zero.
"""
