"""Wire protocols that several feeds speak: what one operator's products have in common. Feeds do not import feeds."""
