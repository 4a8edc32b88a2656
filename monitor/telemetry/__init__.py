"""What the program tells about itself: metrics, logs, health, and the view that the outside reads."""
