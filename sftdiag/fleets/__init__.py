"""Fleets: many runs at once, read in parallel, one line each, grouped by what is wrong."""
