"""The guide's search against random search and the full grid, on a tiny model on the CPU."""
