"""A tiny model trained with each framework, each in a venv of its own: healthy, blow-up, overfit."""
