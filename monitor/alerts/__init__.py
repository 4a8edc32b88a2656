"""What becomes of a reading: life cycle, identity, routing. Pure: no clock, no I/O."""
