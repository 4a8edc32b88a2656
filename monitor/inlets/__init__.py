"""How users push in what no public feed carries: one row format (`rows`), and a thin shell per way in."""
