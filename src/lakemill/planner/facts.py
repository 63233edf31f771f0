"""Facts, one record for each kind of work; whoever knows the work writes them.

A new kind of work is a record here and its arithmetic in `cost`; the search and its limits stay as they are.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lakemill.core.errors import ConfigError
from lakemill.core.planning import NOTHING, Ability, Bottleneck, Facts, Interval, check_between, check_known
from lakemill.core.records import record
from lakemill.parallel import DeepModel


@record
class FeaturePipeline(Facts):
    """Tables to tables.

    Parameters
    ----------
    core_seconds
        Of one core of a plain process for all of it.
    peak_bytes
        Working memory of all workers together.
    shuffled_bytes
        Bytes that change their worker, over all joins and groupings.
    largest_share
        Share of the work that falls to the largest key, which one worker must do.
    joins
        Joins and groupings, one after the other; each is a task to every worker.
    """

    nature: ClassVar[Bottleneck] = "data size"
    grows: ClassVar[tuple[str, ...]] = ("rows", "bytes", "core_seconds", "peak_bytes", "shuffled_bytes")

    core_seconds: Interval
    peak_bytes: Interval
    shuffled_bytes: int = 0
    largest_share: float = 0.0
    joins: int = 1

    def __post_init__(self) -> None:
        """Refuse impossible shares at birth."""
        Facts.__post_init__(self)
        check_between(self, "largest_share", least=0, most=1)
        check_between(self, "joins", least=1)

    @property
    def needs(self) -> tuple[Ability, ...]:
        """See `Facts.needs`."""
        return ("frames",)


@record
class TableModel(Facts):
    """One model on one table.

    Parameters
    ----------
    core_seconds
        Of one core for the whole fit.
    peak_bytes
        That one process needs for the whole table.
    serial_share
        Share of the fit that can't be split; 1 for an algorithm whose every step needs the one before.
    distributed
        The verb in which the algorithm exists for many workers: ``frames`` (Spark ML), ``gangs`` (ranks that
        add up their gradients or histograms); empty for none.
    rounds, exchanged_bytes
        How often the workers add up their results, and what each brings.
    """

    grows: ClassVar[tuple[str, ...]] = ("rows", "bytes", "core_seconds", "peak_bytes")

    core_seconds: Interval
    peak_bytes: Interval
    serial_share: float = 0.0
    distributed: Literal["frames", "gangs", ""] = ""
    rounds: int = 0
    exchanged_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible shares at birth."""
        Facts.__post_init__(self)
        check_between(self, "serial_share", least=0, most=1)
        check_known(self.distributed, ("frames", "gangs", ""), what="distributed")
        check_between(self, "rounds", "exchanged_bytes", least=0)

    @property
    def needs(self) -> tuple[Ability, ...]:
        """See `Facts.needs`."""
        return (self.distributed,) if self.distributed and self.serial_share < 1 else ()


@record
class ManyFits(Facts):
    """Many small models, each on its own rows.

    Parameters
    ----------
    seconds_per_fit
        Mean over the fits, in a worker that has a core to itself.
    peak_bytes_per_fit
        That the largest fit adds to its process.
    serial_seconds
        Before and after the fits, however many workers there are.
    largest_share
        Share of all the work that the largest fit has; None if all are alike.
    busy_cores
        Cores that a fit keeps busy: below 1 if it waits for others, so that several share a core.
    allowed_bytes
        Memory above which a worker is ended; None for no such limit.
    accelerator_bytes_per_fit, busy_accelerators
        Memory of an accelerator that a fit takes, and share of one that it keeps busy; 0 if it uses none.
    """

    nature: ClassVar[Bottleneck] = "number of models"
    grows: ClassVar[tuple[str, ...]] = ("fits", "rows", "bytes", "serial_seconds")

    fits: int
    seconds_per_fit: Interval
    peak_bytes_per_fit: Interval
    serial_seconds: Interval = NOTHING
    largest_share: float | None = None
    busy_cores: float = 1.0
    allowed_bytes: int | None = None
    accelerator_bytes_per_fit: int = 0
    busy_accelerators: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible amounts at birth."""
        Facts.__post_init__(self)
        check_between(self, "fits", least=1)
        check_between(self, "accelerator_bytes_per_fit", "busy_accelerators", least=0)
        check_between(self, "busy_cores", least=0.001)
        if self.largest_share is not None:
            check_between(self, "largest_share", least=1 / self.fits, most=1)

    @property
    def needs(self) -> tuple[Ability, ...]:
        """See `Facts.needs`."""
        uses_accelerators = self.accelerator_bytes_per_fit or self.busy_accelerators
        return ("tasks", "accelerators") if uses_accelerators else ("tasks",)


@record
class Search(Facts):
    """Many trials of one model.

    Parameters
    ----------
    seconds_per_trial
        Mean over the trials, those that end early included.
    peak_bytes_per_trial
        That a trial adds to its process.
    early_stopping
        Whether trials report as they run and are ended when they fall behind.
    sequential
        Whether each trial is drawn from the results of all before it.
    """

    nature: ClassVar[Bottleneck] = "number of models"
    grows: ClassVar[tuple[str, ...]] = ("trials",)

    trials: int
    seconds_per_trial: Interval
    peak_bytes_per_trial: Interval
    early_stopping: bool = False
    sequential: bool = False

    def __post_init__(self) -> None:
        """Refuse a search without trials at birth."""
        Facts.__post_init__(self)
        check_between(self, "trials", least=1)

    @property
    def needs(self) -> tuple[Ability, ...]:
        """See `Facts.needs`."""
        return ("tasks", "feedback") if self.early_stopping else ("tasks",)


@record
class DeepTraining(Facts):
    """One large model.

    Parameters
    ----------
    model
        As `lakemill.parallel` cuts it.
    samples, epochs
        Samples of the data, and how often each is seen.
    batch_samples
        Samples between two updates, over all ranks: it is the learning's own, so no plan changes it.
    micro_batch_samples
        Samples that a rank takes at once.
    utilisation
        Share of the peak FLOP/s that the model reaches on one device, communication aside.
    """

    too_big: ClassVar[Bottleneck] = "model size"
    grows: ClassVar[tuple[str, ...]] = ("samples", "rows", "bytes")

    model: DeepModel
    samples: int
    epochs: int = 1
    batch_samples: int
    micro_batch_samples: int = 1
    utilisation: Interval

    def __post_init__(self) -> None:
        """Refuse batches that don't come out even at birth."""
        Facts.__post_init__(self)
        check_between(self, "samples", "epochs", "batch_samples", "micro_batch_samples", least=1)
        if self.batch_samples % self.micro_batch_samples:
            raise ConfigError(
                f"batch_samples must be a multiple of micro_batch_samples={self.micro_batch_samples}, "
                f"got {self.batch_samples}"
            )
        if not 0 < self.utilisation.low <= self.utilisation.high <= 1:
            raise ConfigError(f"utilisation must be above 0 and at most 1, got {self.utilisation}")

    @property
    def needs(self) -> tuple[Ability, ...]:
        """See `Facts.needs`."""
        return ("gangs",)
