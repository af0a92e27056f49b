"""Maps as pictures: draws only what `stabilitysweep.analysis` computed."""

from stabilitysweep.figures.draw import draw_onset, draw_stability
from stabilitysweep.figures.save import save

__all__ = ["draw_onset", "draw_stability", "save"]
