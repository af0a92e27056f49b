"""Keras models built by `build(hp)`, and which of their settings change the graph."""
