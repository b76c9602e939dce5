"""Frameworks: one module each, the way in for the callback; imported only where it is used."""
