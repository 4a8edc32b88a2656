"""The live page in a terminal: what comes over the event stream of a running monitor, drawn with textual.

``link`` talks to the monitor, ``picture`` keeps the newest sections, ``panels`` turns them into rows (pure), and only
``app`` and ``dialogs`` know textual, which is an extra and imported when `monitor top` starts.
"""
