"""What is wrong with the rows: how many there are, those that come twice, and their batches."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from stabilitysweep.data.audit.choices import Choices, graded, part
from stabilitysweep.data.finding import Finding, Severity, setting
from stabilitysweep.data.raw import RawData
from stabilitysweep.data.row_hash import RowHashes
from stabilitysweep.data.split import Split

FEW_VALIDATION_ROWS = 10
"""Below it, one row moves the validation loss by more than a tenth of its own."""

MOST_PERCENT = 50
"""Of the rows for validation, in a remedy: beyond, more rows are the only one."""

LEAKAGE_SHARE = 0.01
"""Share of the validation rows that also train from which their loss is misleading."""

TINY_SHARE = 8
"""The last batch is tiny if it has at most one row of so many: the noise of its gradient is
sqrt(8), 2.8 times that of the others."""


def repeated_rows(hashes: RowHashes, split: Split) -> Iterator[Finding]:
    """Find validation rows that are training rows too, target included."""
    held_out = len(split.validation)
    if not held_out:
        return
    train = np.sort(hashes.values[split.train])  # np.isin takes ten times as long
    validation = np.sort(hashes.values[split.validation])
    places = np.minimum(np.searchsorted(train, validation), len(train) - 1)
    count = int(np.count_nonzero(train[places] == validation))
    if count:
        yield Finding(
            graded(warning=count >= LEAKAGE_SHARE * held_out),
            "duplicate_rows",
            "",
            count,
            f"{part(count, held_out, 'validation rows')} trained on too, target included: the "
            "validation loss is too low",
            setting("dataset", drop_duplicates=True),
        )


def row_counts(raw: RawData, split: Split, inputs: int, choices: Choices) -> Iterator[Finding]:
    """Compare the number of rows with what they are for.

    Args:
        raw: the data.
        split: its rows.
        inputs: the most inputs that the model of any trial has.
        choices: of the sweep.
    """
    train, held_out = len(split.train), len(split.validation)
    if 0 < held_out < FEW_VALIDATION_ROWS:
        yield Finding(
            Severity.WARNING,
            "few_validation_rows",
            "",
            held_out,
            f"only {held_out:,} of {train + held_out:,} rows for validation: chance decides its "
            "loss",
            "" if raw.own_training_rows is not None else _larger_share(held_out, train),
        )
    if train < inputs:
        yield Finding(
            Severity.WARNING,
            "fewer_rows_than_inputs",
            "",
            train,
            f"{train:,} training rows for {inputs:,} inputs: a linear model fits any target "
            "exactly",
            choices.use("l2", 0.01),
        )


def batches(rows: int, choices: Choices) -> Iterator[Finding]:
    """Judge what `model.fit` would make of each batch size, where epochs end in a short batch.

    Args:
        rows: number of training rows.
        choices: its batch sizes.
    """
    too_large = [size for size in choices.batch_sizes if size > rows]
    for size in too_large:
        yield Finding(
            Severity.NOTE,
            "empty_batch",
            "",
            size,
            f"a batch size of {size:,} is more than the {rows:,} training rows: here it means "
            "all of them; with drop_remainder there is no batch at all",
            choices.use("batch_size", "full", too_large),
        )
    tiny = [size for size in choices.batch_sizes if 0 < rows % size <= size / TINY_SHARE]
    for size in tiny:
        last = rows % size
        alone = last == 1 and choices.batch_norm
        text = (
            f"with a batch size of {size:,}, model.fit ends each epoch of {rows:,} rows with a "
            f"batch of {last:,}"
        )
        if alone:
            text += ", whose variance is 0 to batch normalisation"
        yield Finding(
            graded(warning=alone),
            "tiny_last_batch",
            "",
            last,
            text + "; here all batches are full",
            choices.use("batch_size", _better_size(rows, tiny[0]), tiny),
        )


def _larger_share(held_out: int, train: int) -> str:
    percent = math.ceil(100 * FEW_VALIDATION_ROWS / (held_out + train))
    if percent > MOST_PERCENT:
        return ""
    return setting("dataset", validation_fraction=max(0.2, percent / 100))


def _better_size(rows: int, size: int) -> int:
    """The nearest batch size whose last batch is whole, or at least half of one."""
    for distance in range(1, size):
        for other in (size - distance, size + distance):
            if other <= rows and (rows % other == 0 or 2 * (rows % other) >= other):
                return other
    return rows
