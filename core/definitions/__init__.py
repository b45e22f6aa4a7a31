"""Definitions of properties: which keys a project has seen, and what their values are."""
