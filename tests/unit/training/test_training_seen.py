"""What a training shows: lines on a console, history.json, pictures, TensorBoard."""

import io
import json
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deepibl.errors import ConfigurationError, SessionError
from deepibl.matlab import training as sessions
from deepibl.networks import load_network
from deepibl.training.listeners import BatchReport, Console, TensorBoard, TrainingListener, progress_text
from matlab_compat import matfile
from tests.tiny_training import OPTIONS, Workplace


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished training of three epochs, 'run'."""
    made = Workplace(tmp_path_factory.mktemp("seen"))
    made.train(sessionID="run", nEpoch=3)
    return made


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Recorder:
    """Has the interface of a SummaryWriter."""

    def __init__(self):
        self.scalars, self.closed = [], False

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def close(self):
        self.closed = True


def test_a_line_of_progress_tells_all_that_one_waits_for():
    report = BatchReport(2, 3, 5, 10, 0.1234, 4, 48, 2.0)
    line = progress_text(report, 24.0)
    assert re.search(r"epoch 2/3 batch 5/10, 24\.0 images/s, loss 0\.1234, memory .+GB", line)


def test_the_time_left_counts_what_lies_between_the_batches(place, monkeypatch):
    clock, shown = [0.0], io.StringIO()
    fake = SimpleNamespace(monotonic=lambda: clock[0], strftime=time.strftime)
    monkeypatch.setattr("deepibl.runtime.progress.time", fake)

    class Slow(TrainingListener):
        """Features take 100 seconds, batches one."""

        def computing(self, what):
            clock[0] += 100 * ("features of" in what)

        def tuple_mined(self, state, mined):
            clock[0] += 1 / state.options.batch_size

    place.train(Slow(), Console(shown, interval=0), sessionID="slow", nEpoch=2, test0=False)
    left = re.findall(r"batch .* (\d+:\d+) left", shown.getvalue())
    # the second batch took 201 s with the features before it: six more such; then 3 in 203 s: four more such
    assert left[0] == "20:06" and left[2] == "4:31" and left[-1] == "0:00"


def test_on_a_terminal_there_is_a_bar_and_elsewhere_lines_follow(place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    terminal, file = Terminal(), io.StringIO()
    place.train(Console(terminal), Console(file, interval=0), sessionID="shown", nEpoch=1)
    shown = re.sub(r"\x1b\[[\d;?]*\w", "", terminal.getvalue())
    assert "epoch 1/1 batch 4/4" in shown and terminal.getvalue() != shown and "\x1b" not in file.getvalue()
    assert "saved " in shown
    assert len(re.findall(r"^20[-\d: ]+ shown: \d/4, epoch 1/1 batch \d/4", file.getvalue(), re.M)) == 4
    assert "val, before training: recall @1 " in file.getvalue()
    assert re.search(r"^saved .*shown_ep000001_latest.mat: epoch-end 1$", file.getvalue(), re.M)


def test_history_json_holds_the_curves_of_the_session_file(place):
    history = json.loads(place.files("run").history.read_text())
    obj = place.load("run")["obj"]
    assert history["loss"] == np.ravel(obj["train"]["loss"]).tolist()
    assert (history["session"], history["complete"], history["epoch"]) == ("run", True, 3)
    assert [test["epoch"] for test in history["val"]] == [0, 1, 2, 3]
    recalls = [[test["recall"][str(n)] for n in OPTIONS["recallNs"]] for test in history["val"][1:]]
    assert np.array_equal(np.transpose(recalls), obj["val"]["recall"])


def test_tensorboard_gets_every_loss_and_test(place):
    writer = Recorder()
    place.train(TensorBoard("unused", writer), sessionID="board", nEpoch=1)
    tags = [tag for tag, _, _ in writer.scalars]
    assert tags.count("train/loss") == 4 and tags.count("val/recall@1") == 2 and writer.closed


def test_without_tensorboard_the_message_says_what_to_install(place, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(Exception, match="pip install tensorboard") as caught:
        place.train(TensorBoard("unused"), sessionID="board2", nEpoch=1)
    assert isinstance(caught.value, ConfigurationError) or isinstance(
        caught.value.__cause__, ConfigurationError
    )


def test_pick_best_net_writes_both_figures(place, capsys):
    epoch, net = sessions.pickBestNet("run", paths=place.paths)
    assert 1 <= epoch <= 3 and matfile.scalar(net.meta["epoch"]) == epoch
    for path in (place.files("run").plot, place.files("run").recall_plot):
        with Image.open(path) as image:
            assert image.format == "PNG" and len(image.getcolors(1 << 20)) > 20


def test_the_figures_of_a_session_are_shown_when_asked(place, monkeypatch, tmp_path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(len(plt.gcf().axes)))
    sessions.pickBestNet("run", paths=place.paths, show=True)
    assert shown == [3, 1]  # losses, rank losses and recalls; recall of the best
    made = place.load("run")
    sessions.plotResults(made["obj"], made["opts"], path=tmp_path / "curves.png", show=True)
    assert shown == [3, 1, 3]
    plt.close("all")


def test_pick_best_net_without_a_test_before_training_leaves_that_row_out(place, capsys):
    # difference: pick-best-net-without-pretrain
    place.train(sessionID="nopre", nEpoch=1, test0=False)
    sessions.pickBestNet("nopre", 5, 2, paths=place.paths)
    shown = capsys.readouterr().out
    assert "our trained" in shown and "shelf" not in shown


def test_pick_best_net_wants_a_test_after_every_epoch(place):
    place.train(sessionID="rare", nEpoch=2, epochTestFrequency=2)
    with pytest.raises(Exception, match="tested every 2 epochs"):
        sessions.pickBestNet("rare", paths=place.paths)


def test_cleanup_deletes_all_epochs_but_the_best_and_only_when_told(place, capsys):
    place.train(sessionID="clean", nEpoch=3)
    best, _ = sessions.pickBestNet("clean", verbose=0, paths=place.paths)
    would = sessions.cleanup("clean", paths=place.paths)
    assert len(would) == 2 and all(path.exists() for path in would)
    assert capsys.readouterr().out.count("Would delete") == 2
    assert sessions.cleanup("clean", True, paths=place.paths) == would
    assert place.files("clean").epochs() == [best]
    assert place.files("clean").latest.exists()


def test_plot_results_draws_from_the_variables_of_a_file(place, tmp_path):
    made = place.load("run")
    path = sessions.plotResults(made["obj"], made["opts"], made["auxData"], path=tmp_path / "curves.png")
    with Image.open(path) as image:
        assert image.size[0] > 500
    first = {"train": {**made["obj"]["train"], "recall": [], "rankloss": []}, "val": made["obj"]["val"]}
    assert sessions.plotResults(first, made["opts"], w=1, path=tmp_path / "first.png").exists()


def test_save_net_writes_what_the_trainers_write(place):
    made = place.load("run")
    opts = {**made["opts"], "sessionID": "saved"}
    path = sessions.saveNet(made["net"], made["obj"], opts, made["auxData"], "ep000007_latest", "by hand")
    assert path == place.files("saved").epoch(7)
    assert list(matfile.who(path)) == list(matfile.who(place.files("run").latest))
    assert path.read_bytes() == place.files("saved").latest.read_bytes()


def test_save_net_takes_any_id_and_prepares_the_network_for_testing(place, capsys):
    made = place.load("run")
    net = sessions.pickBestNet("run", verbose=0, paths=place.paths)[1]
    net.layers[0].precious = True
    opts = {**made["opts"], "sessionID": "named"}
    path = sessions.saveNet(net, made["obj"], opts, None, "ep000002_b10", "before lunch", True)
    assert path.name.endswith("named_ep000002_b10.mat")
    assert "saving net named ep000002_b10 : before lunch" in capsys.readouterr().out
    assert path.read_bytes() == place.files("named").latest.read_bytes()
    assert not any(layer.precious for layer in load_network(path))
    assert net.layers[0].precious
    with pytest.raises(SessionError, match="cannot name"):
        sessions.saveNet(net, made["obj"], opts, None, "../elsewhere")


@pytest.mark.octave
def test_octave_reads_a_session_as_plain_structs(place):
    import subprocess

    code = (
        f"s= load('{place.files('run').latest}'); printf('%s %s %d %d %s', class(s.net), "
        "class(s.net.layers{1}), numel(s.auxData.negCache), size(s.obj.val.recall, 2), s.opts.sessionID)"
    )
    shown = subprocess.run(["octave-cli", "--eval", code], capture_output=True, text=True, check=True).stdout
    assert shown == "struct struct 9 3 run"
