"""One trial trained again from its seed, and looked at layer by layer."""
