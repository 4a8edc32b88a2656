"""How views become JSON: Prometheus' shapes, for tools that know them, and ours for the live page.

Numbers are plain, in base units; a missing one is null (NaN is written as null). Times are RFC 3339 in Prometheus'
shapes, unix milliseconds in ours.
"""
