"""From a model's figures to what a plan needs to know of its training."""

from __future__ import annotations

from typing import Final

from lakemill.core.planning import Interval, Source
from lakemill.parallel import DeepModel
from lakemill.planner import DeepTraining

# Share of the peak FLOP/s that nobody measured. Published runs on accelerators, in half precision: 0.30 (Shoeybi et
# al. 2019, arXiv:1909.08053, one GPU) to 0.52 (Narayanan et al. 2021, SC21, table 1); small models reach less.
ASSUMED_UTILISATION: Final = Interval(value=0.4, low=0.2, high=0.6)


def deep_training(
    model: DeepModel,
    samples: int,
    *,
    batch_samples: int,
    epochs: int = 1,
    micro_batch_samples: int = 1,
    bytes_per_sample: float = 0.0,
    utilisation: Interval | None = None,
) -> DeepTraining:
    """Return the facts of training a model, for `lakemill.planner.plan`.

    Parameters
    ----------
    model
        Measured by `lakemill.training.deep.measure.measured`, or written down.
    samples, epochs
        Samples of the data, and how often each is seen.
    batch_samples
        Samples between two updates, over all ranks.
    micro_batch_samples
        Samples that a rank takes at once.
    bytes_per_sample
        Of the data, as it travels.
    utilisation
        Share of the peak FLOP/s that the model reaches on one device. None for a wide guess, 20 to 60 %,
        which the plan names as assumed.

    Raises
    ------
    ConfigError
        If an amount is impossible, or the batch is no multiple of the micro-batch.
    """
    sources: tuple[tuple[str, Source], ...] = (("utilisation", "assumed"),) if utilisation is None else ()
    return DeepTraining(
        rows=samples,
        bytes=round(samples * bytes_per_sample),
        model=model,
        samples=samples,
        epochs=epochs,
        batch_samples=batch_samples,
        micro_batch_samples=micro_batch_samples,
        utilisation=utilisation or ASSUMED_UTILISATION,
        sources=sources,
    )
