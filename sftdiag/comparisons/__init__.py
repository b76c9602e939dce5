"""Runs held against each other: what differs by more than both runs' own noise, and since when."""
