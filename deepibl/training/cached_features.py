"""The cached features of mining and tests: the ones before training, shared by sessions, and later ones."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from deepibl.engine.settings import ExtractionSettings
from deepibl.errors import FeatureFileError, how_many
from deepibl.features.backbone_cache import BackboneCache
from deepibl.features.extraction import extract_to_file
from deepibl.features.files import read_features
from deepibl.networks.identity import network_id
from deepibl.runtime.devices import evaluating
from deepibl.runtime.files import hold
from deepibl.runtime.progress import Progress, reporting
from deepibl.runtime.provenance import Provenance, file_content, misfit
from deepibl.training.options import TrainingOptions
from deepibl.training.tuples import Features
from matlab_compat.files import file_name


@dataclass(frozen=True)
class FeatureMaker:
    """Computes features of data sets with a network in training, in test mode, into files of MATLAB's layout.

    tell: called before that, with a message. backbone: gives the maps of the lower layers; None: the whole
    network runs. compute: makes a file in place of `extract`, from (dataset, 'q' or 'db', path). extracted:
    called with the images of a file that are done, and all of them.
    """

    net: Any
    options: TrainingOptions
    tell: Callable[[str], object]
    backbone: BackboneCache | None = None
    precision: str = "fp32"
    compute: Callable[[Any, str, str], None] | None = None
    extracted: Callable[[int, int], object] = lambda done, total: None

    @property
    def settings(self) -> ExtractionSettings:
        """How features are extracted: on the network's device."""
        device = next(self.net.parameters()).device
        images = self.options.extraction_batch_size
        return ExtractionSettings(batch_size=images, device=device, precision=self.precision)

    def files(self, dataset: Any, queries: str, database: str) -> Features:
        """Features (queries (Q, D), database (N, D)) of these files, computed where they are not there.

        Of several trainings one computes and the others wait. Raises FeatureFileError, ExtractionError.
        """
        self._make(dataset, "q", queries)
        self._make(dataset, "db", database)
        rows = read_features(queries, count=dataset.query_count)
        return rows, read_features(database, count=dataset.database_size, dim=rows.shape[1])

    def shared(self, dataset: Any, queries: str, database: str) -> Features:
        """As `files`, for those before training, whose names other sessions may have given to other features.

        One of another precision is computed again. Raises FeatureFileError for a file of another network or
        of other images; one without a note of what made it (MATLAB's) is accepted where its size fits.
        """
        deciding = self.settings.deciding()
        if self.backbone is not None and self.backbone.dtype != "fp32":
            deciding["maps"] = self.backbone.dtype
        for side, path in (("q", queries), ("db", database)):
            root, names = _images(dataset, side)
            made_of = Provenance.of(network_id(self.net), root, names, deciding, file_content)
            found = Provenance.read(path)
            if found not in (None, made_of) and replace(found, settings=made_of.settings) == made_of:
                Path(path).unlink(missing_ok=True)
            self._make(dataset, side, path, made_of)
            reason = misfit(path, made_of)
            if reason:
                raise FeatureFileError(
                    f"{path} holds features of another training ({reason}): give checkpoint0suffix, another "
                    "outPrefix or name, or delete it if no other session needs it"
                )
        return self.files(dataset, queries, database)

    def extract(self, dataset: Any, side: str, path: str) -> None:
        """Computes the features of a data set's queries ('q') or database ('db') into a file."""
        root, names = _images(dataset, side)
        with evaluating(self.net), reporting(None, "extracting") as report:

            def seen(now: Progress) -> None:
                report(now)
                if now.done < now.total:
                    self.extracted(now.done, now.total)

            settings = replace(self.settings, progress=seen)
            extract_to_file(self.net, root, names, path, backbone=self.backbone, settings=settings)

    def _make(self, dataset: Any, side: str, path: str, made_of: Provenance | None = None) -> None:
        if os.path.exists(path):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        if not hold(lock):
            self.tell(f"{path}: another process is computing it, waiting")
            lock.acquire()
        try:
            if not os.path.exists(path):
                count = len(_images(dataset, side)[1])
                self.tell(f"{path}: features of {how_many(count, 'image')}")
                self.extracted(0, count)
                if made_of is not None:
                    made_of.write(path)
                (self.compute or self.extract)(dataset, side, path)
                self.extracted(count, count)
        finally:
            lock.release()


def _images(dataset: Any, side: str) -> tuple[str, list[str]]:
    kind = "query" if side == "q" else "database"
    return str(getattr(dataset, f"{kind}_root")), list(getattr(dataset, f"{kind}_names"))


def initial_names(options: TrainingOptions, train_set: Any, val_set: Any) -> dict[str, Any]:
    """Option -> file of features before training (and geo_centers): that in the options, or a name for it.

    Names hold data set, network, layer, pooling and suffix, so that sessions that share these share files.
    Ported from: deepIBL/trainGaussKernalInd.m
    """
    suffix = options.initial_features_suffix
    names = {}
    for option, dataset, end in (
        ("initial_database_features", train_set, "db.bin"),
        ("initial_query_features", train_set, "q.bin"),
        ("initial_val_database_features", val_set, "db.bin"),
        ("initial_val_query_features", val_set, "q.bin"),
        ("geo_centers", val_set, "geocenter.mat"),
    ):
        stem = file_name(f"{dataset.name}_{options.network}_{options.layer}_{options.pooling}_{suffix}")
        names[option] = getattr(options, option) or f"{options.output_prefix}{stem}{end}"
    return names
