"""The tape: everything that crossed the wire, as received, in files that survive a crash.

`format` turns records into blocks and back, `reader` walks one file and says what is missing, `folder` is a directory of
them, `writer` appends and rotates, `facts` are the records that are not frames, `replay` turns records into events
again. Nothing here reads a clock; only `folder` and `writer` touch the disk. See docs/tape.md.
"""
