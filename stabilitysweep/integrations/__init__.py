"""Other tools that take what a sweep has found."""
