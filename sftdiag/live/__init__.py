"""A run under watch: the callback's life, stopping, ranks, resume, the smoke test."""
