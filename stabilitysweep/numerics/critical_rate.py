"""The learning rate at which gradient descent on a quadratic loses stability.

Notation: lambda is an eigenvalue of the loss' Hessian, r the learning rate, b the momentum,
w the decoupled weight decay, x the weight along the eigenvector, v its velocity. Keras
computes the gradient g = lambda x first, then decays, then steps:

    heavy ball   v <- b v - r g;   x <- (1 - r w) x + v
    Nesterov     v <- b v - r g;   x <- (1 - r w) x + b v - r g

Either is linear in (x, v). With t the trace and d the determinant of its matrix, both roots of
z^2 - t z + d lie inside the unit circle while |d| < 1 and |t| < 1 + d; as r grows, the root at
z = -1 is the first to leave, where 1 + t + d = 0:

    heavy ball   t = 1 + b - r (lambda + w)                d = b (1 - r w)
    Nesterov     t = 1 + b - r (lambda + w) - b r lambda   d = b (1 - r w - r lambda)

which solved for r gives the two formulas below. Without weight decay they are those of Cohen
et al., "Gradient descent on neural networks typically occurs at the edge of stability"
(arXiv 2103.00065), appendix B.
"""

from __future__ import annotations

import math


def critical_learning_rate(
    curvature: float, *, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> float | None:
    """Return the learning rate above which SGD diverges along a direction of the loss.

        plain, heavy ball   2 (1 + b) / (lambda + (1 + b) w)
        Nesterov            2 (1 + b) / ((1 + 2 b) lambda + (1 + b) w)

    It falls as lambda grows, so the largest eigenvalue gives that of the whole loss.

    Args:
        curvature: lambda, the largest eigenvalue of the Hessian, penalties included.
        momentum: b, 0 <= b < 1.
        nesterov: Nesterov's form of the momentum.
        weight_decay: w >= 0, decoupled from the gradient.

    Returns:
        The learning rate; None where the curvature is not positive or not finite: then no
        learning rate is too large, or nothing is known.

    Example:
        >>> critical_learning_rate(8.0)
        0.25
        >>> critical_learning_rate(8.0, momentum=0.5)
        0.375
    """
    if not math.isfinite(curvature) or curvature <= 0:
        return None
    grown = 1.0 + momentum
    share = 1.0 + 2.0 * momentum if nesterov else 1.0
    rate = 2.0 * grown / (share * curvature + grown * weight_decay)
    return rate if math.isfinite(rate) else None
