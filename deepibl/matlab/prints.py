"""What the original prints while it works, in its form and order: `verbose=False` silences a function.

Lines go to standard output, of the first of several processes. Bars and lines with the time of day
(`deepibl.runtime.progress`) go to standard error.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from deepibl.evaluation.measures import RankLossResult, RecallResult
from deepibl.features.whitening import TRAINING_VECTORS
from deepibl.runtime.processes import team
from deepibl.runtime.progress import ProgressCallback
from deepibl.training.listeners import BatchReport, TrainingListener
from deepibl.training.options import TrainingOptions, schedule
from deepibl.training.state import TrainingState
from deepibl.training.tuples import MinedTuple, TupleOutcome
from matlab_compat.relja import relja_display, relja_displayDateTime, relja_progress, tic

Say = Callable[..., None]
_WIDEST = 10  # numbers that display shows of a row; a longer one is [1x20 double]


def printing(verbose: bool) -> Say:
    """`relja_display`, or what prints nothing: if not verbose, and in processes beyond the first."""
    return relja_display if verbose and team().leads else lambda *_: None


def steps(prefix: str, size: int = 1) -> Callable[[int, int], None]:
    """What to call with (items done, items in all): prints a loop over `size` items a step as it goes on.

    First with 0 items done.
    """
    started, shown = tic(), 0

    def show(done: int, total: int) -> None:
        nonlocal shown
        count = -(-total // size)
        for step in range(shown + 1, min(done // size + 1, count) + 1):
            relja_progress(step, count, prefix, started)
            shown = step

    return show


def extracting(say: Say, total: int, size: int) -> tuple[ProgressCallback | bool, Say]:
    """Prints the beginning of serialAllFeats; gives the progress to extract with, and what prints its end."""
    say("serialAllFeats: Start")
    if say is not relja_display:
        return False, say
    show = steps("serialAllFeats", size)
    show(0, total)
    return lambda now: show(now.done, now.total), lambda: say("serialAllFeats: Done")


def pca_prints(say: Say, session: str, count: int, size: int) -> tuple[Say, ProgressCallback | bool]:
    """What addPCA tells its stages, and the progress of the images that it describes, `count` in all."""
    if say is not relja_display:
        return say, False
    show: Any = None
    end: Say | None = None

    def tell(what: str) -> None:
        nonlocal show, end
        if end is None:
            relja_displayDateTime()
        else:
            end()
        say("%s %s", session, what)
        if what == TRAINING_VECTORS:
            show, end = extracting(say, count, size)

    return tell, lambda now: show(now)


def cluster_prints(say: Say) -> tuple[Say, ProgressCallback | bool]:
    """What getClusters tells its stages, and the progress of the images that it describes."""
    if say is not relja_display:
        return say, False
    show = steps("extract train descs")
    return say, lambda now: show(now.done, now.total)


def evaluating() -> Callable[[int, int, float], None]:
    """What to call with each query of a test: its number from 1, their number, the mean of those before."""
    started = tic()
    return lambda i, n, mean: relja_progress(i, n, "NaN" if np.isnan(mean) else f"{mean:.4f}", started)


def print_result(result: RecallResult | RankLossResult) -> None:
    """The lines at the end of testCore or testCoreRank."""
    times, seconds = "time= %.4f s, avgTime= %.4f ms\n", result.seconds
    if isinstance(result, RecallResult):
        average = seconds * 1000 / max(1, len(result.query_ids))
        relja_display(f"\n\trec@%d= %.4f, {times}", result.print_n, result.recall_print, seconds, average)
        relja_display("%s", result.table())
    else:
        average = seconds * 1000 / result.tested
        relja_display(f"\n\tloss= %.4f, margin= %.4f, {times}", result.loss, result.margin, seconds, average)


class TrainerPrints(TrainingListener):
    """Prints a training as the original's trainers do; queries count from 1 as there.

    printLoss shows tuples of all trainers (the original's: of trainWeakly). What the original does not say,
    such as where maps are kept, is printed too.
    """

    def started(self, state: TrainingState) -> None:
        self._options, self._begun, self._epochs = state.options, False, tic()
        self._mined: list[tuple[int, str]] = []
        self._test: Callable[[int, int, float], None] | None = None
        relja_display("%s", display("opts", state.options.to_matlab(state.has_geo_fields)))

    def noted(self, what: str) -> None:
        relja_display("%s", what)

    def extracting(self, done: int, total: int) -> None:
        if not done:
            relja_display("serialAllFeats: Start")
            self._features = steps("serialAllFeats", self._options.extraction_batch_size)
        self._features(done, total)
        if done == total:
            relja_display("serialAllFeats: Done")

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        for epoch in range(state.epoch if self._begun else 1, state.epoch + 1):
            self._epoch(state.options, epoch)
        self._begun = True
        name = f"{state.options.session} epoch {state.epoch} batch"
        self._batches, started = len(state.negative_caches) // state.options.batch_size, tic()
        self._batch = lambda number: relja_progress(number, self._batches, name, started)
        if state.batch < self._batches:
            self._batch(state.batch + 1)

    def _epoch(self, options: TrainingOptions, epoch: int) -> None:
        """The lines of an epoch's beginning, which a resumed training prints for those before it, too."""
        relja_progress(epoch, options.epochs, "epoch", self._epochs)
        rate, before = (schedule(options, number)[0] for number in (epoch, max(1, epoch - 1)))
        if rate != before:
            relja_display("Changing learning rate from %f to %f", before, rate)
        relja_display("Learning rate %f", rate)

    def tuple_mined(self, state: TrainingState, mined: MinedTuple) -> None:
        counts = f"#violate= {mined.violating}, #vhard= {mined.very_hard}, (qID={mined.query + 1})"
        self._mined.append((mined.query, f"{state.options.session} loss= {mined.margin_loss:.4f}, {counts}"))

    def tuple_done(self, state: TrainingState, mined: MinedTuple, outcome: TupleOutcome) -> None:
        if state.options.print_tuple_losses:
            self._print_mined([query for query, _ in self._mined].index(mined.query) + 1)
            counts = f"#violate= {outcome.pairs}, #vhard= {outcome.very_hard}, (qID={mined.query + 1})"
            relja_display("   real loss= %.4f, %s", outcome.loss, counts)

    def _print_mined(self, count: int) -> None:
        for _, line in self._mined[:count]:
            relja_display("%s", line)
        del self._mined[:count]

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        self._print_mined(len(self._mined) if state.options.print_tuple_losses else 0)
        self._mined.clear()
        if state.options.print_batch_losses:
            relja_display("%s batchloss= %.4f", state.options.session, report.loss)
        if report.batch < report.batches:
            self._batch(report.batch + 1)

    def testing(
        self, state: TrainingState, which: str, epoch: int, done: int, total: int, mean: float
    ) -> None:
        if done == 1:
            first = self._test is None
            self._test = evaluating()
            side, options = "val_" if which == "val" else "", state.options
            names = [getattr(options, f"initial_{side}{kind}_features") for kind in ("database", "query")]
            if first and epoch:
                relja_display("testNet: %s ep%06d_latest_%s", options.session, epoch, which)
            elif first:
                relja_display("testFromFn:\n%s\n%s", *names)
        assert self._test is not None
        self._test(done, total, mean)

    def measured(self, state: TrainingState, result: RecallResult | RankLossResult) -> None:
        print_result(result)
        if isinstance(result, RecallResult):
            self._test = None


def display(name: str, struct: dict[str, Any]) -> str:
    """A struct as MATLAB displays it, a field a line."""
    width = 4 + max(map(len, struct))
    return "\n".join([f"{name} = \n", *(f"{key:>{width}}: {_shown(struct[key])}" for key in struct), ""])


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    array = np.asarray(value)
    if array.dtype == object:
        return "{}" if not array.size else f"{{{'x'.join(map(str, array.shape))} cell}}"
    numbers = [_number(float(each)) for each in array.ravel()]
    if array.size == 1:
        return numbers[0]
    return f"[{' '.join(numbers)}]" if array.size <= _WIDEST else f"[1x{array.size} double]"


def _number(value: float) -> str:
    if not np.isfinite(value) or value == int(value):
        return {"inf": "Inf", "-inf": "-Inf", "nan": "NaN"}.get(str(value)) or str(int(value))
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:.4e}"
