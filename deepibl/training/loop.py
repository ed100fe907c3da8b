"""The training loop, one for all losses: epochs, batches, refreshes of the cached features, tests, saves."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from deepibl.errors import SessionError, TrainingError
from deepibl.evaluation.measures import rank_loss, recall_at_n
from deepibl.runtime.processes import ALONE
from deepibl.runtime.progress import counting
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.listeners import BatchReport, Listeners, TrainingListener
from deepibl.training.options import label, schedule
from deepibl.training.state import CachedFeatures, Curves, TrainingState
from deepibl.training.together import Leading, Tools, tools_of
from deepibl.training.tuples import Features, MinedTuple, MiningAhead, Objective, mine_batch, worth_it
from matlab_compat.errors import MatlabCompatError


def run_loop(
    state: TrainingState,
    train_set: Any,
    val_set: Any,
    objective: Objective,
    files: SessionFiles,
    listeners: Iterable[TrainingListener] = (),
    others: Leading | None = None,
) -> None:
    """Trains from the state's position to the last epoch; changes the state.

    files: where the session is saved: every save_interval queries, after every refresh of features and epoch,
    and when an error or Ctrl-C ends the training between two saves. others: the other processes that compute.
    Raises TrainingError, with the place to resume from, for a loss that is not finite, or an image that
    cannot be read; SessionError when a state cannot be saved.

    Ported from: deepIBL/trainGaussKernalInd.m, netvlad/trainWeakly.m
    """
    every, others = Listeners(listeners), others or Leading(ALONE)
    loop = _Loop(state, train_set, val_set, objective, files, every)
    try:
        every.notify(TrainingListener.started, state)
        sets = (train_set, val_set)
        with tools_of(state, objective, sets, every, others.team) as tools, MiningAhead(loop.mine) as miner:
            loop.run(others.share(tools), miner)
    except BaseException as error:
        every.notify(TrainingListener.stopped, state, error)
        expected = isinstance(error, KeyboardInterrupt | MatlabCompatError | OSError)
        if expected and not isinstance(error, SessionError):
            where = loop.save_after_error()
            if not isinstance(error, KeyboardInterrupt):
                raise TrainingError(f"{error}\n{where}") from error
        raise
    every.notify(TrainingListener.finished, state)


@dataclass
class _Loop:
    state: TrainingState
    train_set: Any
    val_set: Any
    objective: Objective
    files: SessionFiles
    listeners: Listeners
    updating: bool = False  # within a step: what the state holds does not fit together
    features: Features = field(init=False)  # of the training set
    tools: Tools = field(init=False)
    miner: MiningAhead = field(init=False)

    def run(self, tools: Tools, miner: MiningAhead) -> None:
        self.tools, self.miner, state = tools, miner, self.state
        self.features = self._first_features()
        while not state.complete:
            if state.epoch_done and state.epoch < state.options.epochs:
                state.next_epoch()
            if not state.epoch_done:
                self._epoch()
            state.complete = state.epoch >= state.options.epochs
        self.save("complete")
        self.files.remove_features()

    @property
    def batches(self) -> int:
        """Batches in an epoch; the queries that are left over are in none."""
        return int(self.train_set.query_count // self.state.options.batch_size)

    def _epoch(self) -> None:
        state, options = self.state, self.state.options
        (rate, _), (before, _) = (schedule(options, epoch) for epoch in (state.epoch, state.epoch - 1))
        self.listeners.notify(TrainingListener.epoch_started, state, rate, before)
        if not len(state.order):
            state.begin_epoch(self.train_set.query_count)
        for batch in range(state.batch + 1, self.batches + 1):
            if batch % np.ceil(options.save_interval / options.batch_size) == 0:  # by inf: never
                self.save(f"epoch {state.epoch} batch {batch}")
            if self._refreshes(batch):
                self._refresh(batch)
            self._batch(batch, rate)
        self.save(f"epoch-end {state.epoch}")
        val = None
        if state.epoch == options.epochs or state.epoch % options.test_interval == 0:
            names = [self.files.validation_features(which, state.epoch) for which in ("q", "db")]
            val = self._test("val", self.tools.maker.files(self.val_set, *names))
        self._refresh(0)  # the features that the next epoch begins with
        if val is not None:
            train = self._test("train", self.features)
            state.history.val.add_test(*val)
            state.history.train.add_test(*train)
        state.epoch_done = True
        self.save(f"epoch-end {state.epoch}")

    def _refreshes(self, batch: int) -> bool:
        """Whether features are computed again before this batch."""
        refresh = schedule(self.state.options, self.state.epoch)[1]
        return bool(refresh) and batch % refresh == 0 and batch not in (1, self.batches)

    def _batch(self, batch: int, rate: float) -> None:
        """Mines, steps, and only then notes what has changed: an error before that changes nothing."""
        state = self.state
        draws_before, begun = state.generator.state, time.perf_counter()
        mined_from = (self.features, state.negative_caches, state.generator)
        try:
            tuples = self.miner.take(self._queries(batch), *mined_from)
            if worth_it(state.stepper.device) and not self._refreshes(batch + 1):
                self.miner.begin(self._queries(batch + 1), *mined_from)
            losses, pairs = self._gradients(tuples, batch)
            self.updating = True
            state.stepper.update(state.options, rate, pairs)
            if not state.stepper.weights_are_finite():
                raise self._diverged("the step made weights that are not finite", batch)
        except BaseException:
            if not self.updating:
                state.generator.state = draws_before
                state.stepper.clear()
            raise
        for mined in tuples:
            state.negative_caches[mined.query] = mined.cache
        loss = float(np.mean(losses)) if losses else 0.0
        state.history.train.loss.append(loss)
        state.batch = batch
        self.updating = False
        images = sum(2 + len(mined.negatives) for mined in tuples if mined.trains)
        position = (state.epoch, state.options.epochs, batch, self.batches)
        report = BatchReport(*position, loss, len(tuples), images, time.perf_counter() - begun)
        self.listeners.notify(TrainingListener.batch_done, state, report)

    def _queries(self, batch: int) -> np.ndarray:
        """The batch's queries; none beyond the epoch's last batch."""
        size = self.state.options.batch_size
        return self.state.order[(batch - 1) * size : min(batch, self.batches) * size]

    def mine(self, queries: np.ndarray, features: Features, caches: Any, generator: Any) -> list[MinedTuple]:
        """The tuples of these queries; also called in another thread: what changes is an argument."""
        options, select = self.state.options, self.objective.select
        return mine_batch(self.train_set, queries, features, caches, options, generator, select)

    def _gradients(self, tuples: list[MinedTuple], batch: int) -> tuple[list[float], int]:
        """The tuples' losses, and the number of pairs that the gradient is to be divided by."""
        state = self.state
        for mined in tuples:
            self.listeners.notify(TrainingListener.tuple_mined, state, mined)
        losses = {mined.query: 0.0 for mined in tuples}
        pairs = 0
        state.net.train()
        training = [mined for mined in tuples if mined.trains]
        for mined, outcome in zip(training, self.tools.compute(training), strict=True):
            losses[mined.query] = outcome.loss
            pairs += outcome.pairs
            if not math.isfinite(outcome.loss):
                raise self._diverged(f"the loss of query {mined.query} is {outcome.loss}", batch)
            self.listeners.notify(TrainingListener.tuple_done, state, mined, outcome)
        if not state.stepper.gradients_are_finite():
            raise self._diverged("the gradient is not finite", batch)
        return list(losses.values()), pairs

    def _diverged(self, what: str, batch: int) -> TrainingError:
        return TrainingError(
            f"training of session {self.files.session} diverged in epoch {self.state.epoch}, batch {batch}: "
            f"{what}. A smaller {label('learning_rate')} usually helps: give it with {label('session')} and "
            f"the {label('start_epoch')} to go back to"
        )

    def _first_features(self) -> Features:
        """The features of the state; before training the shared ones, with the tests before training."""
        state, options, maker = self.state, self.state.options, self.tools.maker
        if state.features is not None:
            return maker.files(self.train_set, state.features.queries, state.features.database)
        names = (options.initial_query_features, options.initial_database_features)
        features = maker.shared(self.train_set, *names)
        if options.test_before_training:
            val_names = (options.initial_val_query_features, options.initial_val_database_features)
            val = self._test("val", maker.shared(self.val_set, *val_names), 0)
            train = self._test("train", features, 0)
            state.history.pretrain = {"val": Curves(), "train": Curves()}
            state.history.pretrain["val"].add_test(*val)
            state.history.pretrain["train"].add_test(*train)
        # last: a training that stops before its tests are done begins with them again
        state.features = CachedFeatures(*names, state.epoch, 0)
        return features

    def _refresh(self, batch: int) -> None:
        """Computes the training set's features again; batch 0: at the end of the epoch."""
        state = self.state
        queries, database = (self.files.features(which, state.epoch, batch) for which in ("q", "db"))
        due = CachedFeatures(queries, database, state.epoch, batch)
        if state.features == due:
            return
        self.features = self.tools.maker.files(self.train_set, queries, database)
        state.features = due
        if batch:
            self.save(f"epoch {state.epoch} batch {batch}, features")

    def _test(self, which: str, features: Features, epoch: int | None = None) -> tuple[np.ndarray, float]:
        """Recall@N (R,) and the rank loss of 'train' or 'val'; the generator's state is restored.

        Ported from: netvlad/testNet.m
        """
        options, draws = self.state.options, self.state.generator
        dataset = self.val_set if which == "val" else self.train_set
        epoch, notify = self.state.epoch if epoch is None else epoch, self.listeners.notify
        notify(TrainingListener.computing, f"testing on the {which} set")

        def seen(count: Callable[..., None], done: int, total: int, mean: float) -> None:
            count(done, total)
            notify(TrainingListener.testing, self.state, which, epoch, done, total, mean)

        with counting(None, f"rank loss of {which}, queries") as count:
            how: dict[str, Any] = {"generator": draws, "report": partial(seen, count)}
            how["n_sample"] = options.rank_loss_sample_size
            ranked = rank_loss(*features, dataset, options.margin, options.negatives_per_query, **how)
        notify(TrainingListener.measured, self.state, ranked)
        with counting(None, f"recall of {which}, queries") as count:
            how |= {"report": partial(seen, count), "n_sample": options.recall_sample_size}
            found = recall_at_n(*features, dataset, options.recall_ns, **how)
        notify(TrainingListener.measured, self.state, found)
        notify(TrainingListener.tested, self.state, which, epoch, found.recalls, ranked.loss)
        return found.recalls, ranked.loss

    def save(self, why: str) -> None:
        state = self.state
        path = self.files.save(state.epoch, state.to_matlab(), state.to_json())
        if state.features is not None:
            self.files.remove_features(keep=[state.features.queries, state.features.database])
        self.listeners.notify(TrainingListener.saved, state, path, why)

    def save_after_error(self) -> str:
        """Saves the state if it is whole; returns where the training can be resumed."""
        epochs, state = self.files.epochs(), self.state
        before = f"The last saved state is {self.files.epoch(epochs[-1])}" if epochs else "No state is saved"
        if self.updating or state.features is None or not state.stepper.weights_are_finite():
            return f"{before}; the same command resumes from there."
        try:
            self.save("stopped")
        except SessionError as error:
            return f"{error}. {before}."
        saved = self.files.epoch(state.epoch)
        return f"The state before it is saved as {saved}; the same command resumes from there."
