"""The training loop: one for all losses. What it minimises, draws from, saves to and tells are arguments."""

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from deepibl.errors import SessionError, TrainingError
from deepibl.runtime.processes import ALONE
from deepibl.training import tuples as ahead
from deepibl.training.cached_features import measure
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.listeners import BatchReport, Listeners, TrainingListener
from deepibl.training.options import schedule
from deepibl.training.state import CachedFeatures, Curves, TrainingState
from deepibl.training.together import Leading, tools_of
from deepibl.training.tuples import Features, MinedTuple, MiningAhead, Objective, mine_batch
from matlab_compat.errors import MatlabCompatError


def train(
    state: TrainingState,
    train_set: Any,
    val_set: Any,
    objective: Objective,
    files: SessionFiles,
    listeners: Iterable[TrainingListener] = (),
    others: Leading | None = None,
) -> TrainingState:
    """Trains from where the state stands to the last epoch, and returns the state, which it changes.

    state: network, options, generator and position. train_set, val_set: `deepibl.datasets.PlaceDataset`.
    objective: the loss. files: where the session is saved: every saveFrequency queries, after every refresh
    of features and epoch, and when an error or Ctrl-C ends the training between two saves. others: the other
    processes that compute, if there are any.

    Raises TrainingError, with the place to go on from, for a loss that is not finite, or an image that cannot
    be read; SessionError when a state cannot be saved.

    Ported from: deepIBL/trainGaussKernalInd.m, netvlad/trainWeakly.m
    """
    others = others or Leading(ALONE)
    training = _Training(state, train_set, val_set, objective, files, Listeners(listeners), others)
    try:
        training.run()
    except BaseException as error:
        training.listener.stopped(state, error)
        if isinstance(error, KeyboardInterrupt | MatlabCompatError | OSError) and not isinstance(
            error, SessionError
        ):
            where = training.save_what_is_whole()
            if not isinstance(error, KeyboardInterrupt):
                raise TrainingError(f"{error}\n{where}") from error
        raise
    return state


class _Training:
    """A training that runs: the state, and what works on it."""

    def __init__(
        self,
        state: TrainingState,
        train_set: Any,
        val_set: Any,
        objective: Objective,
        files: SessionFiles,
        listener: TrainingListener,
        others: Leading,
    ) -> None:
        self.state, self.options, self.files = state, state.options, files
        self.train_set, self.val_set = train_set, val_set
        self.objective, self.listener, self.others = objective, listener, others
        self.batches = train_set.numQueries // self.options.batchSize
        self.features: Features | None = None
        self.updating = False

    def run(self) -> None:
        """From the state's position to the end."""
        state, sets = self.state, (self.train_set, self.val_set)
        self.listener.started(state)
        with (
            tools_of(state, self.objective, sets, self.listener, self.others.team) as tools,
            MiningAhead(self._mine) as self.miner,
        ):
            shared = self.others.share(tools)
            self.maker, self.compute = shared.maker, shared.compute
            self.features = self._features_to_begin_with()
            while not state.complete:
                if state.epoch_done and state.epoch < self.options.nEpoch:
                    state.next_epoch()
                if not state.epoch_done:
                    self._epoch()
                state.complete = state.epoch >= self.options.nEpoch
        self.save("complete")
        self.files.remove_features()
        self.listener.finished(state)

    # ----- one epoch

    def _epoch(self) -> None:
        state, options = self.state, self.options
        rate, _ = schedule(options, state.epoch)
        self.listener.epoch_started(state, rate, schedule(options, max(1, state.epoch - 1))[0])
        if not len(state.order):
            state.begin_epoch(self.train_set.numQueries)
        save_every = math.ceil(options.saveFrequency / options.batchSize)
        for batch in range(state.batch + 1, self.batches + 1):
            if batch % save_every == 0:
                self.save(f"epoch {state.epoch} batch {batch}")
            if self._refreshes(batch):
                self._refresh(batch)
            self._batch(batch, rate)
        self.save(f"epoch-end {state.epoch}")
        self._end_epoch()

    def _end_epoch(self) -> None:
        """Tests, and computes the features that the next epoch begins with."""
        state = self.state
        tests_now = state.epoch == self.options.nEpoch or state.epoch % self.options.epochTestFrequency == 0
        val = self._test("val", self._validation_features()) if tests_now else None
        self._refresh(0)
        if val is not None:
            assert self.features is not None
            train = self._test("train", self.features)
            state.history.val.add_test(*val)
            state.history.train.add_test(*train)
        state.epoch_done = True
        self.save(f"epoch-end {state.epoch}")

    def _refreshes(self, batch: int) -> bool:
        """Whether features are computed again before this batch."""
        refresh = schedule(self.options, self.state.epoch)[1]
        return bool(refresh) and batch % refresh == 0 and batch not in (1, self.batches)

    # ----- one batch

    def _batch(self, batch: int, rate: float) -> None:
        """Mines, steps, and only then notes what has changed: an error before that changes nothing."""
        state = self.state
        assert self.features is not None
        draws_before = state.generator.state
        begun = time.perf_counter()
        try:
            tuples = self.miner.take(self._queries(batch), *self._mined_from(self.features))
            if ahead.worth_it(state.stepper.device) and not self._refreshes(batch + 1):
                self.miner.begin(self._queries(batch + 1), *self._mined_from(self.features))
            losses, pairs = self._gradients(tuples, batch)
            self.updating = True
            state.stepper.update(self.options, rate, pairs)
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
        seconds = time.perf_counter() - begun
        report = BatchReport(
            state.epoch, self.options.nEpoch, batch, self.batches, loss, len(tuples), images, seconds
        )
        self.listener.batch_done(state, report)

    def _queries(self, batch: int) -> np.ndarray:
        """The batch's queries; none beyond the epoch's last batch."""
        size = self.options.batchSize
        return self.state.order[(batch - 1) * size : min(batch, self.batches) * size]

    def _mined_from(self, features: Features) -> tuple[Features, list[np.ndarray], Any]:
        return features, self.state.negative_caches, self.state.generator

    def _mine(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> list[MinedTuple]:
        select = self.objective.select
        return mine_batch(self.train_set, queries, features, caches, self.options, generator, select)

    def _gradients(self, tuples: list[MinedTuple], batch: int) -> tuple[list[float], int]:
        """The tuples' losses, and the number of pairs that the gradient is to be divided by."""
        state = self.state
        for mined in tuples:
            self.listener.tuple_mined(state, mined)
        losses = {mined.query: 0.0 for mined in tuples}
        pairs = 0
        state.net.train()
        training = [mined for mined in tuples if mined.trains]
        for mined, outcome in zip(training, self.compute(training), strict=True):
            losses[mined.query] = outcome.loss
            pairs += outcome.pairs
            if not math.isfinite(outcome.loss):
                raise self._diverged(f"the loss of query {mined.query} is {outcome.loss}", batch)
            self.listener.tuple_done(state, mined, outcome)
        if not state.stepper.gradients_are_finite():
            raise self._diverged("the gradient is not finite", batch)
        return list(losses.values()), pairs

    def _diverged(self, what: str, batch: int) -> TrainingError:
        return TrainingError(
            f"training of session {self.files.session} diverged in epoch {self.state.epoch}, batch {batch}: "
            f"{what}. A smaller learningRate is the usual cure: give it with sessionID and the startEpoch "
            "to go back to"
        )

    # ----- features and tests

    def _features_to_begin_with(self) -> Features:
        """Those of the state; before training the shared ones, with the tests before training."""
        state, options = self.state, self.options
        if state.features is not None:
            cached = state.features
            return self.maker.files(self.train_set, cached.queries, cached.database)
        features = self.maker.shared(self.train_set, options.qCheckpoint0, options.dbCheckpoint0)
        if options.test0:
            val = self.maker.shared(self.val_set, options.qCheckpoint0val, options.dbCheckpoint0val)
            curves = {"val": self._test("val", val, 0), "train": self._test("train", features, 0)}
            state.history.pretrain = {}
            for which, outcome in curves.items():
                state.history.pretrain[which] = Curves()
                state.history.pretrain[which].add_test(*outcome)
        # last: a training that stops before its tests are done begins with them again
        state.features = CachedFeatures(options.qCheckpoint0, options.dbCheckpoint0, state.epoch, 0)
        return features

    def _refresh(self, batch: int) -> None:
        """Computes the training set's features again; batch 0: at the end of the epoch."""
        state = self.state
        due = CachedFeatures(
            self.files.features("q", state.epoch, batch),
            self.files.features("db", state.epoch, batch),
            state.epoch,
            batch,
        )
        if state.features == due:
            return
        self.features = self.maker.files(self.train_set, due.queries, due.database)
        state.features = due
        if batch:
            self.save(f"epoch {state.epoch} batch {batch}, features")

    def _validation_features(self) -> Features:
        epoch = self.state.epoch
        names = (self.files.validation_features("q", epoch), self.files.validation_features("db", epoch))
        return self.maker.files(self.val_set, *names)

    def _test(self, which: str, features: Features, epoch: int | None = None) -> tuple[np.ndarray, float]:
        dataset = self.val_set if which == "val" else self.train_set
        recall, rankloss = measure(dataset, features, self.options, self.state.generator)
        self.listener.tested(
            self.state, which, self.state.epoch if epoch is None else epoch, recall, rankloss
        )
        return recall, rankloss

    # ----- saving

    def save(self, why: str) -> None:
        """Saves the state; feature files that it does not refer to are deleted."""
        state = self.state
        path = self.files.save(state.epoch, state.to_matlab(), state.to_json())
        if state.features is not None:
            self.files.remove_features(keep=[state.features.queries, state.features.database])
        self.listener.saved(state, path, why)

    def save_what_is_whole(self) -> str:
        """After an error: saves the state if it is whole; says where the training can go on."""
        epochs = self.files.epochs()
        before = (
            f"The last saved state is {self.files.epoch(epochs[-1])}" if epochs else "No state was saved yet"
        )
        state = self.state
        if self.updating or state.features is None or not state.stepper.weights_are_finite():
            return f"{before}; the same command goes on from there."
        try:
            self.save("stopped")
        except SessionError as error:
            return f"{error}. {before}."
        saved = self.files.epoch(state.epoch)
        return f"The state before it is saved as {saved}; the same command goes on from there."
