"""Sick runs on ladders: size, row count, logging_steps, noise and vocabulary of every disease."""
