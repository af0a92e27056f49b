"""KerasTuner searches: see docs/search.md."""

__all__: list[str] = []
