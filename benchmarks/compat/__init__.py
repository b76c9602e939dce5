"""The callback's core tests with other versions of transformers and TRL, in a venv each."""
