"""The running program: parts wired together, supervised, reloaded and drained. All of it is shell."""
