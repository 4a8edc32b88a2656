"""One feed and all that keeps it alive: sockets, polls, instruments, counters, and the past fetched beside it."""
