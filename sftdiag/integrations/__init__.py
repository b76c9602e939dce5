"""Integrations: the edges where sftdiag meets other libraries."""
