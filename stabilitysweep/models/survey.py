"""Finding out what a user's models are, cell by cell: which share a graph, and which weights.

Every model of the grid is built once. What its `hp` was asked decides which requests come to
the same model; its traced graph decides which models share a program; its initial weights
for one seed decide which share their weights.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stabilitysweep.blueprint import Blueprint, Request, Value
from stabilitysweep.errors import TrialError
from stabilitysweep.models.builder import precision_scope
from stabilitysweep.models.compiled import compiled_part, target_form
from stabilitysweep.models.fitting_target import check_output, example_target
from stabilitysweep.models.graph_digest import captured_variables, graph_digest
from stabilitysweep.models.lifting import all_layers, lifted_numbers, numbers_replaced
from stabilitysweep.models.pass_through import evaluated, trained
from stabilitysweep.models.user_builds import Built, UserBuild

_SEED = 0
_ROWS = 2


def survey(requests: Sequence[Request], folders: Sequence[Path]) -> list[Blueprint]:
    """Build the models of all requests, all of one build function.

    Args:
        requests: at least one.
        folders: where to look for the module, beside the installed ones.

    Returns:
        A blueprint for each request, in their order; with an `error` for one whose model
        cannot be trained.
    """
    try:
        build = UserBuild(requests[0].build, folders)
    except TrialError as error:
        return [Blueprint(request.build, error=str(error)) for request in requests]
    with build:
        return _Survey(build).blueprints(requests)


class _Survey:
    def __init__(self, build: UserBuild) -> None:
        self._build = build
        self._digests: dict[str, tuple[str, str]] = {}
        # What was asked of `hp`, and by the values it had the blueprint. Requests that agree in
        # all that a function asks for give the same model.
        self._known: dict[tuple[Any, ...], dict[tuple[Any, ...], Blueprint]] = {}

    def blueprints(self, requests: Iterable[Request]) -> list[Blueprint]:
        return [self._blueprint(request) for request in requests]

    def _blueprint(self, request: Request) -> Blueprint:
        values = dict(request.values)
        rest = (request.precision, request.blocks, request.named, request.target, request.given)
        for key, found in self._known.items():
            names, others = key[0], key[1:]
            if others == rest and (own := tuple(values.get(name) for name in names)) in found:
                same = found[own]
                if same.compiled or same.error or dict(request.training) == dict(same.training):
                    return same
        blueprint, asked = self._built(request)
        # What was asked and not given counts as well: it is absent from all requests alike.
        own_key = (tuple(asked), *rest)
        self._known.setdefault(own_key, {})[tuple(values.get(name) for name in asked)] = blueprint
        return blueprint

    def _built(self, request: Request) -> tuple[Blueprint, list[str]]:
        try:
            with precision_scope(request.precision):
                built = self._build(request, _SEED)
                return self._described(request, built), list(built.hp.asked)
        except TrialError as error:
            return Blueprint(request.build, request.values, error=str(error)), [
                name for name, _ in request.values
            ]
