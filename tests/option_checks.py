"""What tests of the trainers' options share: a short training, its weights, of which options a test is."""

import numpy as np

from matlab_compat import matfile
from tests.tiny_training import Log


def tells_of(*options):
    """Marks a test as one of these options."""

    def mark(function):
        function.options = options
        return function

    return mark


def run(place, **changes):
    """A training of one epoch: its log and session."""
    log = Log()
    session = place.train(log, **{"sessionID": "run", "nEpoch": 1, **changes})
    return log, session


def layers(place, **changes):
    """The weights by layer after one epoch."""
    session = f"s{len(list((place.folder / 'out').glob('*_history.json')))}"
    run(place, sessionID=session, **changes)
    found = matfile.cell_list(place.load(session)["net"]["layers"])
    return {
        matfile.text(layer["name"]): np.asarray(matfile.cell_list(layer["weights"])[0])
        for layer in found
        if np.size(layer.get("weights", []))
    }


def weights(place, **changes):
    """The last convolution's weights after one epoch."""
    return layers(place, **changes)["conv2"]
