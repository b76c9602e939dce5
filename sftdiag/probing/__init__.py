"""Asking the model: its replies and its loss on general text, live and finished, left as it was."""
