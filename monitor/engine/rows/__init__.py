"""Rows of series: how they come in, where they lie, and what is kept computed of them."""
