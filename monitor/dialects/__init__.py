"""What several feeds speak (one family's products, polled order books, kept history), and the rooms of large venues.

Feeds do not know each other; they know these.
"""
