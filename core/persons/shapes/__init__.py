"""The published shapes of the persons resource, by theme. Rows never pass through these."""
