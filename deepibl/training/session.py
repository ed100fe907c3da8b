"""Training from the call to the last epoch: a new session, an interrupted one, or one from an epoch."""

import copy
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.datasets.place import PlaceDataset
from deepibl.errors import SessionError
from deepibl.networks.build import add_pooling_for, clusters_stem, prepare_for_training
from deepibl.networks.identity import network_id
from deepibl.networks.libraries import is_torch_id
from deepibl.networks.pretrained import load_pretrained
from deepibl.networks.torch_backbones import split_for
from deepibl.runtime import processes
from deepibl.runtime.devices import device_for
from deepibl.runtime.files import write_note
from deepibl.runtime.paths import localPaths
from deepibl.training import checkpoints
from deepibl.training.cached_features import initial_names
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.listeners import Listeners, TrainingListener, usual_listeners
from deepibl.training.loop import run_loop
from deepibl.training.options import FREE_OPTIONS, OPTIONS, Request, TrainingOptions, checked_names, label
from deepibl.training.state import TrainingState, field_of, reading_state, restore, take_momentum
from deepibl.training.step import Stepper
from deepibl.training.together import follow, leading, read_start, tools_of
from deepibl.training.tuples import Trainer, find_trainer
from matlab_compat.errors import ArgumentError
from matlab_compat.files import file_name
from matlab_compat.relja import relja_randomHex
from matlab_compat.rng import rng
from matlab_compat.simplenn.network import SimpleNN

_log = logging.getLogger(__name__)
SESSION_DIGITS = 4
Given = Mapping[str, Any]  # the options given, by name
Blank = Callable[..., TrainingState]  # options, network (, momenta) -> the state at the beginning


@dataclass(frozen=True)
class TrainingRun:
    """A complete training: its files, and its last state (in processes beyond the first the network alone).

    `results` and what follows from them raise SessionError where not every epoch was tested.
    """

    files: SessionFiles
    state: TrainingState

    @property
    def session(self) -> str:
        return self.files.session

    @property
    def folder(self) -> Path:
        return self.files.latest.parent

    @cached_property
    def results(self) -> checkpoints.Results:
        """The curves, the best epoch by the validation set's Recall@5, and the table about it."""
        return checkpoints.read_results(self.files)

    @property
    def best_epoch(self) -> int:
        return self.results.best

    @cached_property
    def network(self) -> SimpleNN:
        return checkpoints.read_session_network(self.files, self.best_epoch)


@torch.inference_mode(False)
@torch.enable_grad()
def train(
    dataset: PlaceDataset,
    validation: PlaceDataset,
    network: SimpleNN | str | Path | None,
    loss: str = "gauss-ind",
    *,
    listeners: Iterable[TrainingListener] | None = None,
    paths: Any = None,
    generator: Any = None,
    keep_momentum: bool = True,
    restart: bool = False,
    weights: str = "pretrained",
    **options: Any,
) -> TrainingRun:
    """Trains a network to the last epoch, resuming the session if the same call was interrupted before.

    A session that is complete is left as it is. One that was started with other settings is not replaced:
    the error lists them. With start_epoch > 1 the session named resumes from the end of the epoch
    before, with the options that it had, changed by those given.

    >>> run = train(pitts_train, pitts_val, "vd16", layer="conv5_3", learning_rate=0.001)  # doctest: +SKIP
    >>> deepibl.save_network(run.network, "best.mat")                                      # doctest: +SKIP

    Args:
        dataset, validation: the images to learn from, and those to test on after each epoch.
        network: one whose descriptors are to be trained, pooling included, which stays as it is; or the name
            (vd16, caffe, torchvision:resnet50, …) or .mat file of one to start from, cut after the option
            `layer`, under the layers of the option `pooling`; None: the saved session's, or the default.
        loss: gauss-ind, gauss-joint, cauchy-ind, cauchy-joint, exp-ind, exp-joint (SARE), weakly (triplet),
            contrastive, lifted, npair, angular; or the original's name of a trainer.
        listeners: of what happens (default: it is printed, and drawn where the option `plot` asks).
        paths: what `localPaths` takes: where pretrained networks, clusters and sessions are.
        generator: random numbers (default: MATLAB's after start-up).
        keep_momentum: False resumes from an epoch with zero momenta, as the original does.
        restart: deletes what the session has, and trains it from the start.
        weights: of a network given by name, see `load_pretrained`.
        options: see `deepibl.training.TrainingOptions`.

    Raises:
        ArgumentError: an option or value that is not allowed. SessionError: a session that is running,
            lacking, cannot be saved, or was started with other settings. TrainingError: a loss that is not
            finite, or an image that cannot be read; it says how to resume.
    """
    trainer, given, where = find_trainer(loss), dict(checked_names(options)), localPaths(paths)
    if isinstance(network, str | Path):
        file = Path(network)
        if file.suffix and file.is_file():
            if file.suffix != ".mat":
                raise ArgumentError(f"network {file}: a file to start from is a .mat file; convert it first")
            where = localPaths({**where.as_dict(), "pretrainedCNNs": str(file.parent)})
        given["network"] = file.stem if file.is_file() else str(network)
    elif isinstance(network, SimpleNN):
        for name in {"layer", "pooling"} & set(given):
            raise ArgumentError(f"{name} is an option for a network given by name; this one has its layers")
        name = f"{network.meta.get('netID', 'network')}-{network_id(network)[:8]}"
        given |= {"network": re.sub(r"[^\w.+-]", "-", name), "layer": network.names[-1], "pooling": "none"}
    elif network is not None:
        raise ArgumentError("network must be a SimpleNN, a name or a .mat file; a DagNN cannot be trained")
    asked = TrainingOptions(**given)
    asked.check()
    request = Request.of(trainer.name, (dataset, validation), asked)
    prefix, sets = asked.output_prefix or where.outPrefix, (dataset, validation)
    asked = replace(asked, output_prefix=prefix, train_set_name=dataset.name, val_set_name=validation.name)
    from_epoch = asked.start_epoch > 1
    if restart and from_epoch:
        raise ArgumentError(f"{label('start_epoch')} resumes a session, restart deletes it: give one of them")
    every = [*(usual_listeners() if listeners is None else listeners)]
    team = processes.team()
    team.same("training", f"{request.text} from epoch {asked.start_epoch}")
    blank = partial(_state, trainer, dataset.query_count, rng() if generator is None else generator)
    if not team.leads:  # the state is the network alone
        files, given_options, net = read_start(team)
        state = blank(replace(given_options, use_gpu=asked.use_gpu), net)
        with tools_of(state, trainer.objective(given_options), sets, Listeners([]), team) as tools:
            follow(team, tools)
        return TrainingRun(files, state)
    with leading(team) as others:
        files = SessionFiles(asked.output_prefix, asked.session or _session_name(asked, request))
        asked = replace(asked, session=files.session)
        with files.locked():
            text, started_from = (None, 1.0) if restart else files.request_before()
            before = None if text is None else Request.from_text(text)
            request = request.told_as(before)
            if from_epoch and before is not None:
                request = before.resumed(request, given)
            interrupted = files.unfinished.exists() and started_from == asked.start_epoch
            if before == request and (interrupted or not from_epoch):
                state = _resumed(blank, files, asked, given)
            elif from_epoch:
                state = _from_epoch(blank, files, asked, given, keep_momentum)
                told = [each.sets[0].rpartition(" (")[2] for each in (before or request, request)]
                if told[0] != told[1]:  # the ids are of other images
                    state.negative_caches = [ids[:0] for ids in state.negative_caches]
                if before is None:  # MATLAB's: its request without what its trainers fill in
                    filled = [name for name in OPTIONS if name.startswith("initial_")]
                    kept = {n: getattr(asked, n) for n in (*filled, "test_before_training", "geo_centers")}
                    kept["first_trained_layer"] = state.options.first_trained_layer_name
                    theirs = Request.of("", (), replace(state.options, **kept)).options
                    request = replace(request, options=theirs).resumed(request, given)
            elif text is not None:
                raise SessionError(_other_settings(files, before, request))
            else:  # built before anything is deleted: that may fail
                if asked.initial_features_suffix:
                    asked = replace(asked, initial_features_suffix=f"{asked.initial_features_suffix}_")
                names = initial_names(asked, dataset, validation)
                if not trainer.geo_fields:
                    del names["geo_centers"]
                asked = replace(asked, **names)
                if isinstance(network, SimpleNN):
                    net = copy.deepcopy(network)
                else:
                    net = _build(asked, dataset, where, weights, every)
                state = blank(asked, net)
                (files.remove if restart else files.remove_features)()
            files.remove_leftovers()
            others.begin(files, state)
            if state.complete and not files.unfinished.exists():
                _log.info("session %s is complete: nothing to do", files.session)
                return TrainingRun(files, state)
            write_note(files.unfinished, {"session": files.session, "command": request.text}, indent=1)
            state.trainer, state.command = trainer.name, request.text
            run_loop(state, *sets, trainer.objective(state.options), files, every, others)
            files.unfinished.unlink(missing_ok=True)
    return TrainingRun(files, state)


def _build(
    options: TrainingOptions,
    dataset: PlaceDataset,
    where: Any,
    weights: str,
    listeners: Iterable[TrainingListener],
) -> SimpleNN:
    """The network that the options name, with its pooling layers."""
    net = load_pretrained(
        options.network,
        None if options.layer == "_relja_none_" else options.layer,
        folder="" if is_torch_id(options.network) else where.pretrainedCNNs,
        weights=weights,
        split=split_for(options.network, options.first_trained_layer),
    )
    stem = clusters_stem(where.initData, dataset.name, options.network, options.layer)

    def tell(what: str) -> None:
        Listeners(listeners).notify(TrainingListener.noted, what)

    device = device_for(options.use_gpu)
    return add_pooling_for(net, options.pooling, dataset, stem=stem, device=device, tell=tell)


def _resumed(blank: Blank, files: SessionFiles, asked: TrainingOptions, given: Given) -> TrainingState:
    """The latest state, with those of the options given that do not change the result."""
    variables = files.load()
    with reading_state(files.latest):
        options, net = _saved(variables, files, asked, set(FREE_OPTIONS) & set(given))
        momentum = take_momentum(net)
        state = restore(blank(options, net, momentum), variables, str(files.latest))
        before = TrainingOptions.from_matlab(variables["opts"]).output_prefix

    def moved(name: str) -> str:
        """Where a file is now, which was written with one prefix and is resumed with another."""
        now = files.prefix + name.removeprefix(before) if name.startswith(before) else name
        return name if Path(name).exists() and not Path(now).exists() else now

    if (kept := state.features) is not None:
        state.features = replace(kept, queries=moved(kept.queries), database=moved(kept.database))
    return state


def _from_epoch(
    blank: Blank, files: SessionFiles, asked: TrainingOptions, given: Given, keep_momentum: bool
) -> TrainingState:
    """The state at the end of the epoch before start_epoch, with all options given."""
    epoch = asked.start_epoch - 1
    variables = files.load(epoch)
    with reading_state(files.epoch(epoch)):
        options, net = _saved(variables, files, asked, set(given))
        momentum = take_momentum(net)
        database, queries = options.initial_database_features, options.initial_query_features
        named = f"{options.train_set_name}_{options.network}_{options.layer}_{options.pooling}_"
        suffix = f"{options.initial_features_suffix}{files.session}_ep{epoch:06d}"
        stem = f"{files.prefix}{file_name(named)}{suffix}"
        options = replace(
            options,
            start_epoch=asked.start_epoch,
            test_before_training=False,
            initial_database_features_before=options.initial_database_features_before or database,
            initial_query_features_before=options.initial_query_features_before or queries,
            initial_database_features=asked.initial_database_features or f"{stem}_db.bin",
            initial_query_features=asked.initial_query_features or f"{stem}_q.bin",
        )
        state = blank(options, net, momentum if keep_momentum else {})
        restore(state, variables, str(files.epoch(epoch)))
    if not state.epoch_done and state.batch:
        raise SessionError(
            f"epoch {epoch} was not finished: start the same command, or give {label('start_epoch')} {epoch}"
        )
    state.epoch, state.epoch_done, state.complete, state.features = epoch, True, False, None
    return state


def _saved(
    variables: Mapping[str, Any], files: SessionFiles, asked: TrainingOptions, changed: set[str]
) -> tuple[TrainingOptions, SimpleNN]:
    """Options and network of a session file; the options named in `changed` are those given."""
    ours = field_of(field_of(variables["auxData"], "deepibl", {}), "speed", {})
    options = TrainingOptions.from_matlab(variables["opts"], ours)
    options.check()
    new = {name: getattr(asked, name) for name in changed}
    new |= {"session": files.session, "output_prefix": files.prefix, "use_gpu": asked.use_gpu}
    return replace(options, **new), SimpleNN.from_matlab(variables["net"])


def _state(
    trainer: Trainer,
    queries: int,
    generator: Any,
    options: TrainingOptions,
    net: SimpleNN,
    momentum: Mapping[tuple[int, int], torch.Tensor] | None = None,
) -> TrainingState:
    """A state at the beginning, of a network on the device that the options ask for."""
    layer = 1 if options.first_trained_layer in (None, "") else options.first_trained_layer
    if not isinstance(layer, str) and layer not in range(1, len(net) + 1):
        found = f"1 to {len(net)}, or {', '.join(net.names)}"
        raise ArgumentError(f"{label('first_trained_layer')} {layer}: the layers are {found}")
    unknown = [name for name in options.frozen_layers if name not in net.names]
    if unknown:
        names = f"no layers {', '.join(unknown)}; there are {', '.join(net.names)}"
        raise ArgumentError(f"{label('frozen_layers')}: {names}")
    first = net.index(layer) if isinstance(layer, str) else layer - 1
    options = replace(options, first_trained_layer=first + 1, first_trained_layer_name=net.names[first])
    options = replace(options, trained_depth=len(net) - first)
    net = prepare_for_training(net, first)
    take_momentum(net)
    net = net.to(device_for(options.use_gpu))
    stepper = Stepper(net, first, options.frozen_layers, dict(momentum or {}), options.precision)
    few = f"{label('batch_size')} {options.batch_size} is more than the {queries} queries"
    none = f"no layer from {net.names[first]} on has weights, or all are in {label('frozen_layers')}"
    if not stepper.learned or queries < options.batch_size:
        raise ArgumentError(f"nothing would be trained: {few if stepper.learned else none}")
    caches = [np.zeros(0, dtype=np.int64) for _ in range(queries)]
    return TrainingState(options, stepper, generator, caches, has_geo_fields=trainer.geo_fields)


def _session_name(options: TrainingOptions, request: Request) -> str:
    """The name of a session that was given none: that of the same one if interrupted, or a new one."""
    if options.start_epoch > 1:
        start = f"{label('start_epoch')} {options.start_epoch}"
        raise ArgumentError(f"{start} resumes a session: name it by {label('session')}")
    found = checkpoints.unfinished_session(options.output_prefix, request)
    while found is None:
        drawn = relja_randomHex(SESSION_DIGITS)
        taken = SessionFiles(options.output_prefix, drawn)
        found = None if taken.epochs() or taken.unfinished.exists() else drawn
    return found


def _other_settings(files: SessionFiles, before: Request | None, request: Request) -> str:
    """Why a session that exists is not replaced, and what can be done."""
    epochs = files.epochs()
    changed = "was not started by this program" if before is None else "was started with other settings"
    listed = "" if before is None else ": " + ", ".join(request.changes(before))
    at = f"epochs {epochs[0]} to {epochs[-1]}" if epochs else "no epochs"
    return (
        f"session {files.session} exists already ({files.latest}; {at}) and {changed}{listed}. Nothing was "
        f"changed. To resume from the end of epoch e with the settings given now, give "
        f"{label('start_epoch')} = e + 1; to train another session, another {label('session')} or none; to "
        "delete this one and train it from the start, restart (--restart)"
    )
