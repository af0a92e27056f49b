"""Maps as pictures: draws only what `stabilitysweep.analysis` computed."""

from stabilitysweep.figures.diagnosis import draw_diagnosis
from stabilitysweep.figures.draw import draw_headroom, draw_onset, draw_stability, draw_underflow
from stabilitysweep.figures.save import save, stem

__all__ = [
    "draw_diagnosis",
    "draw_headroom",
    "draw_onset",
    "draw_stability",
    "draw_underflow",
    "save",
    "stem",
]
