"""What a trainer tells without being touched: its settings, its schedule, its rows' number."""
