"""The short form of `python -m tests.reliability.page_load`: what must hold under load, in half a minute."""

import os

import pytest

from tests.page_files import picture
from tests.page_server import serving
from tests.reliability.index_load import BACKENDS, random_index, searched
from tests.reliability.page_load import make_index, storm, sustained

pytestmark = [pytest.mark.slow, pytest.mark.network]
GROWTH = 150_000_000  # bytes that a page may hold more after more of the same: allocators keep some


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_index(tmp_path_factory.mktemp("load"), 40)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """The folder in which the page's temporary files would lie."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def page(index, temporary):
    """The page in a process of its own."""
    with serving(index, environment={**os.environ, "TMPDIR": str(temporary)}) as served:
        yield served


def test_fifty_uploads_at_once_of_good_and_bad_files_leave_the_page_whole(page, temporary):
    found = storm(page, temporary, rounds=5, uploads=50)
    assert found.wrong == []
    assert found.left == []
    assert sum(sum(counts.values()) for counts in found.answers.values()) == 250
    assert sum(counts[200] for counts in found.answers.values()) > 0
    assert page.process.poll() is None
    assert page.get("/api/health")["inside"] == 0
    assert found.memory[-1] - found.memory[2] < GROWTH


def test_sustained_queries_are_answered_or_told_to_come_back(page):
    outcome, watch = sustained(page, [picture(size=(320, 240))], users=24, seconds=6)
    assert set(outcome.ended) <= {"ok", "503"}
    assert outcome.ended["ok"] > 20
    assert watch.mean(0.75, 1) - watch.mean(0.25, 0.5) < GROWTH


@pytest.mark.parametrize("backend", BACKENDS[:2])  # ivfpq takes long to train: in the long form
def test_an_index_searched_by_many_threads_answers_as_it_does_alone(backend):
    outcome, watch = searched(random_index(3000, 64).with_backend(backend), users=8, seconds=1.5)
    assert set(outcome.ended) == {"ok"}
    assert outcome.ended["ok"] > 50
    assert watch.mean(0.75, 1) - watch.mean(0, 0.25) < GROWTH
