"""Label sets that nothing is heard of any more: who may leave without a trace, and how the others are numbered anew."""
