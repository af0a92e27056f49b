"""The whole way, from a map to a long run that does not die: map, recommend, search, train.

    python -m sweeps.whole_way        # two to three minutes

1. `configs/long_run.yaml` maps where the model of `long_run.py` trains, in 100 steps a trial.
2. `recommend` names safe settings, and `safe_box` the largest space around them.
3. KerasTuner searches the whole space, ten epochs a trial, and keeps to what the map found safe;
   what it trains is recorded, batch by batch, as a result that can be mapped like any other.
4. The best of it is trained for long under `StabilityGuard`.
5. So is the same model where the map says that it breaks: the guard stops at the first number
   that is not finite, and puts the last finite weights back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import stabilitysweep

if TYPE_CHECKING:
    import keras

CONFIG = Path(__file__).parents[1] / "configs" / "long_run.yaml"
HELD_OUT = 88
"""Rows for validation."""


def main(
    folder: Path = Path("results"), config: Any = CONFIG, trials: int = 12, epochs: int = 200
) -> keras.Model:
    """Go the whole way, and return the model that was trained for long.

    Args:
        folder: where results and reports go.
        config: the sweep.
        trials: of the search.
        epochs: of the long run.
    """
    result = stabilitysweep.run(config, out=folder / "long_run")
    print(f"\n1. The map: {result}")
    picks = result.recommend()
    print(f"\n2. Safe settings:\n{picks.to_frame().iloc[:, :7].to_string(index=False)}\n")
    print(result.safe_box())

    # Here, since each worker of the map would import it too.
    import keras
    import keras_tuner

    from stabilitysweep.integrations.keras_tuner import keep_stable, record
    from sweeps.long_run import build, diabetes

    keras.utils.set_random_seed(0)
    x, y = diabetes()
    train, validation = (x[HELD_OUT:], y[HELD_OUT:]), (x[:HELD_OUT], y[:HELD_OUT])
    tuner = keras_tuner.BayesianOptimization(
        build,
        objective="val_loss",
        max_trials=trials,
        seed=0,
        directory=folder / "long_run_search",
        project_name="tuner",
        overwrite=True,
    )
    oracle = keep_stable(tuner, result)
    record(tuner, out=folder / "long_run_search" / "recorded", fresh=True)
    tuner.search(*train, validation_data=validation, epochs=10, batch_size=32, verbose=0)
    print(f"\n3. The search. {oracle.report()}")
    print(stabilitysweep.open_result(folder / "long_run_search" / "recorded"))

    best = tuner.get_best_hyperparameters()[0]
    print(f"\n4. The long run of {best.values}")
    fit = {"validation_data": validation, "epochs": epochs, "batch_size": 32, "verbose": 0}
    model = build(best)
    guard = stabilitysweep.StabilityGuard(report=folder / "long_run_guard")
    history = model.fit(*train, **fit, callbacks=[guard])
    print(f"{guard.report.sentence} The best val_loss: {min(history.history['val_loss']):.4f}")

    broken = best.copy()
    broken.values["learning_rate"] = result.trials["learning_rate"].max()
    print(f"\n5. The same at learning rate {broken.values['learning_rate']:g}")
    build(broken).fit(
        *train, **fit, callbacks=[stabilitysweep.StabilityGuard(report=folder / "long_run_guard")]
    )
    return model


if __name__ == "__main__":  # workers are started by spawn
    main()
