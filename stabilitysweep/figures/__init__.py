"""Maps and curves as pictures: draws only what `stabilitysweep.analysis` computed."""

from stabilitysweep.figures.causes import draw_causes
from stabilitysweep.figures.curves import draw_curves
from stabilitysweep.figures.diagnosis import draw_diagnosis
from stabilitysweep.figures.draw import draw_onset, draw_stability
from stabilitysweep.figures.save import save, stem
from stabilitysweep.figures.values import (
    draw_best_loss,
    draw_headroom,
    draw_learning,
    draw_underflow,
)

__all__ = [
    "draw_best_loss",
    "draw_causes",
    "draw_curves",
    "draw_diagnosis",
    "draw_headroom",
    "draw_learning",
    "draw_onset",
    "draw_stability",
    "draw_underflow",
    "save",
    "stem",
]
