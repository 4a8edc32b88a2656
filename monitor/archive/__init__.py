"""The archive: normalised events in Parquet, one table per type of event, by day and venue. See docs/archive.md.

`schema` says what the tables are, `manifest` what was put into an archive by whom, `writer` writes (bounded memory,
nothing half-written is ever seen), `reader` reads whole steps back in the order of arrival, `export` turns a tape into an
archive, `mapping` and `outside` take in history that others recorded. polars is imported where it is used.
"""
