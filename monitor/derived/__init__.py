"""Series that are worked out from others: pure functions and small classes, each checked against another library."""
