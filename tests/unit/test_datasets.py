"""PlaceDataset: positives, negatives, missing images, dbStruct files there and back."""

import logging

import numpy as np
import pytest

from deepibl.dataset_catalog import CATALOG, open_dataset
from deepibl.dataset_listed import ListedPositives
from deepibl.dataset_pitts_tokyo import Tokyo247, TokyoTimeMachine, tiny_tokyo
from deepibl.datasets import PlaceDataset, load_dbstruct, save_dbstruct
from deepibl.dbstruct import read_dbstruct
from deepibl.errors import DatasetError, MissingImageError
from deepibl.matlab.datasets import dbBase, dbPitts
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.rng import rng


def names(letter, count):
    return [f"{letter}{i:03d}.jpg" for i in range(count)]


def street(images=40, queries=6, **options):
    """Images every 5 m along a street, queries beside some of them."""
    utm_db = np.stack([585000 + 5.0 * np.arange(images), np.full(images, 4477000.0)], axis=1)
    utm_q = utm_db[:queries] + np.array([2.0, 3.0])
    return PlaceDataset("street", names("d", images), utm_db, names("q", queries), utm_q, **options)


def struct(**changes):
    """MATLAB's fields of a small dbStruct, as matfile saves them."""
    fields = {
        "whichSet": "test",
        "dbImageFns": np.array([["a.jpg"], ["b.jpg"], ["c.jpg"]], dtype=object),
        "utmDb": np.array([[0.0, 10, 100], [0, 0, 0]]),
        "qImageFns": np.array([["q.jpg"]], dtype=object),
        "utmQ": np.array([[3.0], [4.0]]),
        "numImages": np.uint16([[3]]),
        "posDistThr": np.uint8([[25]]),
        "posDistSqThr": np.uint16([[625]]),
        "nonTrivPosDistSqThr": np.uint8([[100]]),
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not None}


def saved(tmp_path, name="mine", **changes):
    path = tmp_path / f"{name}.mat"
    matfile.save(path, {"dbStruct": struct(**changes)})
    return path


# positives and negatives


def test_positives_and_nontrivial_positives_follow_the_limits():
    dataset = street()
    assert dataset.getPosIDs(0).tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.nontrivialPosQ(0).tolist() == [0, 1, 2]  # within 10 m
    assert dataset.nontrivialPosDb(0).tolist() == [1, 2]  # more than 1 m away
    assert dataset.isPosQ(0, [0, 5, 6]).tolist() == [True, True, False]
    assert dataset.isPosDb(39, [33, 34]).tolist() == [False, True]


@pytest.mark.parametrize("n", [1, 5, 20])
def test_negatives_are_as_many_as_asked_and_no_positives(n):
    dataset = street()
    drawn = dataset.sampleNegsQ(3, n, rng(1))
    assert len(np.unique(drawn)) == n
    assert not dataset.isPosQ(3, drawn).any()


def test_negatives_are_drawn_as_matlab_does():
    dataset, generator, twin = street(), rng(5), rng(5)
    drawn = dataset.sampleNegsQ(3, 5, generator)
    first = twin.randsample(40, 6)  # round(5.5)
    negatives = np.unique(first[~dataset.isPosQ(3, first)])
    while len(negatives) < 5:
        more = twin.randsample(40, 6)
        negatives = np.union1d(negatives, more[~dataset.isPosQ(3, more)])
    want = twin.randsample(negatives, 5) if len(negatives) > 5 else negatives
    assert drawn.tolist() == want.tolist()
    assert (generator.state == twin.state).all()


def test_too_few_negatives_give_all_of_them_and_are_told_once(caplog):
    # difference: sampleNegs-small-database
    dataset = street()
    with caplog.at_level(logging.WARNING, "deepibl"):
        for _ in range(3):
            assert dataset.sampleNegsQ(0, 1000, rng(1)).tolist() == list(range(6, 40))
        assert dataset.sampleNegsDb(0, 1000, rng(1)).tolist() == list(range(6, 40))
    assert [record.getMessage() for record in caplog.records] == [
        "street: 1000 negatives asked for, a query has 34: using all of them"
    ]


def test_enough_negatives_in_a_database_smaller_than_the_draw_are_drawn():
    # difference: sampleNegs-small-database
    dataset = street(images=20)
    drawn = dataset.sampleNegs([0, 0], 19, rng(1))  # round(20.9) exceeds the 20 images
    assert len(np.unique(drawn)) == 19


def test_thresholds_do_not_wrap():
    dataset = street(posDistThr=np.uint8(25), nonTrivPosDistSqThr=np.uint8(100))
    assert dataset.posDistSqThr == 625
    assert dataset.nontrivialPosQ(0).tolist() == street().nontrivialPosQ(0).tolist()


def test_lists_that_do_not_fit_together_are_refused():
    with pytest.raises(DatasetError, match="x: utmDb holds 2 positions for 3 images"):
        PlaceDataset("x", names("d", 3), np.zeros((2, 2)), [], [])


# images


def test_missing_images_are_named_with_root_count_and_advice(tmp_path):
    dataset = street(images=9, dbPath=tmp_path, qPath=tmp_path, advice="Ask the authors.")
    for name in dataset.qImageFns + dataset.dbImageFns[:2]:
        (tmp_path / name).touch()
    dataset.check_images(["q"])
    with pytest.raises(MissingImageError) as caught:
        dataset.check_images()
    text = str(caught.value)
    assert f"street: 7 of 9 database images are missing under {tmp_path}: d002.jpg" in text
    assert "… and 2 more" in text and "Ask the authors." in text


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(
        MissingImageError, match=rf"the folder of its 40 database images is not there: {tmp_path}/no"
    ):
        street(dbPath=tmp_path / "no", qPath=tmp_path).check_images()


def test_images_that_only_exist_as_png_are_pointed_out(tmp_path):
    dataset = street(images=1, queries=0, dbPath=tmp_path, qPath=tmp_path)
    (tmp_path / "d000.png").touch()
    with pytest.raises(MissingImageError, match=f"deepibl convert-png {tmp_path}"):
        dataset.check_images()


def test_image_paths_are_below_the_roots():
    dataset = street(dbPath="/a/", qPath="/b")
    assert dataset.image_paths("db")[0] == "/a/d000.jpg"
    assert dataset.image_paths("q")[0] == "/b/q000.jpg"
    with pytest.raises(DatasetError, match=r"'db' .* or 'q'"):
        dataset.image_paths("queries")


# dbStruct files


def test_a_dbstruct_is_read_with_small_integer_types(tmp_path):
    dataset = load_dbstruct(saved(tmp_path), root="/images")
    assert (dataset.name, dataset.numImages, dataset.numQueries) == ("mine", 3, 1)
    assert dataset.posDistSqThr == 625.0
    assert dataset.getPosIDs(0).tolist() == [0, 1]
    assert dataset.utmQ.tolist() == [[3.0, 4.0]]
    assert dataset.dbPath == dataset.qPath == "/images"


def test_unknown_fields_are_kept():
    # difference: dbStruct-unknown-fields
    assert street(extra={"note": "x"}).extra == {"note": "x"}


def test_unknown_fields_of_a_file_are_no_error(tmp_path):
    # difference: dbStruct-unknown-fields
    assert load_dbstruct(saved(tmp_path, note="by hand")).extra == {"note": "by hand"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"posDistThr": None}, "lacks posDistThr"),
        ({"utmDb": None, "qImageFns": None}, "lacks qImageFns, utmDb"),
        ({"utmDb": np.zeros((3, 2))}, r"utmDb must be 2 x 3 .* transposed"),
        ({"utmDb": np.zeros((2, 4))}, "utmDb holds 4 positions for 3 images"),
        ({"dbImageFns": np.zeros((1, 3))}, "dbStruct.dbImageFns: expected a cell"),
        ({"posDistThr": np.zeros((1, 2))}, "dbStruct.posDistThr: expected one number"),
    ],
)
def test_dbstructs_that_make_no_sense_are_refused_by_field(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=rf"mine\.mat: .*{message}"):
        load_dbstruct(saved(tmp_path, **changes))


def test_a_file_without_a_dbstruct_is_refused(tmp_path):
    matfile.save(tmp_path / "x.mat", {"net": {"layers": 1.0}})
    with pytest.raises(MatFileError, match="dbStruct"):
        load_dbstruct(tmp_path / "x.mat")


def test_a_written_dbstruct_reads_back_the_same(tmp_path):
    dataset = street(whichSet="val", utm_zone="17N", posDistThr=30)
    save_dbstruct(dataset, tmp_path / "street.mat")
    again = load_dbstruct(tmp_path / "street.mat")
    for name in (
        "name",
        "whichSet",
        "dbImageFns",
        "qImageFns",
        "posDistThr",
        "nonTrivPosDistSqThr",
        "utm_zone",
    ):
        assert getattr(again, name) == getattr(dataset, name)
    assert (again.utmDb == dataset.utmDb).all() and (again.utmQ == dataset.utmQ).all()


@pytest.mark.octave
def test_octave_loads_a_written_dbstruct(tmp_path):
    import subprocess

    timed = TokyoTimeMachine("t", ["a.jpg"], [[1, 2]], ["q.jpg"], [[3, 4]], dbTimeStamp=[7], qTimeStamp=[8])
    save_dbstruct(timed, tmp_path / "t.mat")
    code = (
        "load('t.mat', 'dbStruct'); d= dbStruct; assert(iscellstr(d.dbImageFns)); assert(d.utmQ, [3; 4]);"
        "assert(class(d.posDistThr), 'double'); assert(size(d.dbTimeStamp), [1 1]); disp(d.dbImageFns{1});"
    )
    done = subprocess.run(["octave-cli", "--eval", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "a.jpg", done.stderr


# Tokyo


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_time_stamps_may_be_rows_or_columns(tmp_path, shape):
    # difference: TokyoTM-column-timestamps
    stamps = np.array([201301, 201402, 201301]).reshape(shape)
    path = saved(
        tmp_path,
        utmDb=np.array([[0.0, 3, 6], [0, 0, 0]]),
        dbTimeStamp=stamps,
        qTimeStamp=np.array([[201301]]),
    )
    dataset = load_dbstruct(path)
    assert isinstance(dataset, TokyoTimeMachine)
    assert dataset.nontrivialPosQ(0).tolist() == [1]
    assert dataset.nontrivialPosDb(0).tolist() == [1]


def test_time_stamps_of_another_number_are_refused(tmp_path):
    with pytest.raises(
        DatasetError, match=r"dbTimeStamp must hold one time stamp for each of 3 images, found 2"
    ):
        load_dbstruct(saved(tmp_path, dbTimeStamp=np.zeros((1, 2)), qTimeStamp=np.zeros((1, 1))))


def test_answers_of_the_querys_own_time_are_left_out():
    dataset = TokyoTimeMachine(
        "t", names("d", 4), np.zeros((4, 2)), ["q"], [[0, 0]], dbTimeStamp=[1, 2, 1, 2], qTimeStamp=[1]
    )
    asked = []

    def searcher(query, k):
        asked.append((query, k))
        return np.array([2, 3, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])

    ids, distances = dataset.nnSearchPostprocess(searcher, 0, 1)
    assert (ids.tolist(), distances.tolist(), asked) == ([3], [0.2], [(0, 10)])


def test_tokyo247_keeps_the_first_of_each_panorama_and_reports_by_light():
    dataset = Tokyo247("tokyo247", names("d", 36), np.zeros((36, 2)), names("q", 6), np.zeros((6, 2)))
    ranked = np.array([25, 3, 24, 0, 35, 14])
    ids, distances = dataset.nnSearchPostprocess(lambda q, k: (ranked, ranked / 10), 0, 2)
    assert ids.tolist() == [25, 3] and distances.tolist() == [2.5, 0.3]
    assert dataset.search_depth(5) == 60
    assert dataset.query_resize == dataset.protocol.query_resize == 640
    groups = {light: queries.tolist() for light, queries in dataset.query_groups().items()}
    assert groups == {"day": [0, 3], "sunset": [1, 4], "night": [2, 5]}
    assert dataset.protocol.version == 2


def places_of(sizes):
    """A data set with a place of that many images every kilometre."""
    utm = np.repeat([[1000.0 * i, 0.0] for i in range(len(sizes))], sizes, axis=0)
    return PlaceDataset("whole", names("d", len(utm)), utm, [], [], whichSet="train")


def test_the_tiny_set_passes_over_places_of_13_to_23_images():
    # difference: dbTiny-short-places
    tiny = tiny_tokyo(places_of([15, 30, 24, 12]), "tiny")
    assert (tiny.numImages, tiny.numQueries, tiny.name) == (120, 60, "tiny")
    assert set(tiny.utmDb[:, 0]) <= {1000.0, 2000.0}
    first = int(tiny.dbImageFns[0][1:4])
    assert (
        tiny.qImageFns[:6] == names("d", 99)[first - 12 : first - 6]
    )  # six of a place, then its second dozen
    assert tiny.nontrivialPosQ(0).tolist() == [
        i for i in range(120) if tiny.utmDb[i, 0] == tiny.utmQ[0, 0]
    ]  # images at the very spot count as well


def test_a_set_without_large_places_gives_no_tiny_set():
    # difference: dbTiny-short-places
    with pytest.raises(DatasetError, match="too few places with 24 images"):
        tiny_tokyo(places_of([15, 23]), "tiny")


# lists of positives


def test_listed_positives_decide_instead_of_positions(tmp_path):
    lists = np.empty((1, 1), dtype=object)
    lists[0, 0] = np.array([[3.0], [1.0]])  # 1-based
    dataset = load_dbstruct(saved(tmp_path, "sf0", posIDs=lists))
    assert isinstance(dataset, ListedPositives)
    assert dataset.getPosIDs(0).tolist() == dataset.nontrivialPosQ(0).tolist() == [2, 0]
    assert dataset.isPosQ(0, [0, 1, 2]).tolist() == [True, False, True]
    assert dataset.sampleNegsQ(0, 1, rng(0)).tolist() == [1]
    save_dbstruct(dataset, tmp_path / "again.mat")
    assert load_dbstruct(tmp_path / "again.mat").getPosIDs(0).tolist() == [2, 0]


def test_lists_may_stand_in_a_text_file_and_positions_be_left_out(tmp_path):
    path = saved(tmp_path, "sf0", utmDb=None, utmQ=None, posDistThr=None, nonTrivPosDistSqThr=None)
    (tmp_path / "sf0_positives.txt").write_text("# query, positives\nq.jpg\tc.jpg\ta.jpg\n")
    dataset = load_dbstruct(path)
    assert dataset.getPosIDs(0).tolist() == [2, 0]
    assert np.isnan(dataset.utmDb).all()


def test_a_text_file_with_unknown_names_is_refused_by_line(tmp_path):
    path = saved(tmp_path, "sf0")
    (tmp_path / "sf0_positives.txt").write_text("\nno.jpg\ta.jpg\nq.jpg\tx.jpg\n")
    with pytest.raises(DatasetError) as caught:
        load_dbstruct(path)
    assert "line 2: no.jpg is no query" in str(caught.value)
    assert "line 3: x.jpg is no database image" in str(caught.value)


def test_listed_ids_that_no_image_has_are_refused():
    for wrong in ([3], [-1]):
        with pytest.raises(DatasetError, match=r"query 0 \(q000.jpg\) lists an id outside 0 … 2"):
            ListedPositives(
                "x", names("d", 3), np.zeros((3, 2)), names("q", 1), np.zeros((1, 2)), posIDs=[wrong]
            )


# known data sets


def test_known_data_sets_are_opened_by_name(tmp_path):
    saved(tmp_path, "pitts30k_val")
    dataset = open_dataset("pitts30k/val", root=tmp_path, paths=None)
    assert dataset.name == "pitts30k_val"
    assert dataset.dbPath == f"{tmp_path}/images/" and dataset.qPath == f"{tmp_path}/queries/"
    assert dataset.utm_zone == "17N" and "Pittsburgh" in dataset.advice
    assert open_dataset("Pitts30k_val", root=tmp_path).name == "pitts30k_val"
    assert open_dataset("pitts30k/val", root="/x", spec=tmp_path / "pitts30k_val.mat").dbPath == "/x/images/"
    assert open_dataset("pitts30k/val", root="/x", spec=tmp_path).numImages == 3


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DatasetError, match=r"'pitts'; known are pitts30k/train.*tokyo247.*sf0"):
        open_dataset("pitts")


@pytest.mark.parametrize("name", CATALOG)
def test_a_missing_dbstruct_names_the_places_and_how_to_get_it(tmp_path, name):
    with pytest.raises(DatasetError) as caught:
        open_dataset(name, root=tmp_path)
    text = str(caught.value)
    assert (
        f"{tmp_path}/{CATALOG[name].spec}.mat" in text and "Download" in text and CATALOG[name].advice in text
    )


def test_the_facade_refuses_other_sets():
    with pytest.raises(DatasetError, match="train, val, test, not 'all'"):
        dbPitts(False, "all")


def test_a_data_set_of_ones_own_is_made_as_in_matlab(tmp_path):
    class dbMine(dbBase):
        def __init__(self, paths=None):
            self.name, self.dbPath, self.qPath = "mine", "/db/", "/q/"
            self.dbLoad(paths)

    with pytest.raises(DatasetError, match=r"mine\.mat is not there"):
        dbMine({"dsetSpecDir": str(tmp_path)})
    saved(tmp_path)
    made = dbMine({"dsetSpecDir": str(tmp_path)})
    assert made.image_paths("q") == ["/q/q.jpg"] and made.getPosIDs(0).tolist() == [0, 1]
    with pytest.raises(DatasetError, match="subclass dbBase"):
        dbBase()


# what MATLAB wrote


@pytest.mark.real
def test_published_dbstructs_load(real):
    counts = {
        "pitts30k_train": (10000, 7416),
        "pitts30k_val": (10000, 7608),
        "pitts30k_test": (10000, 6816),
        "pitts250k_test": (83952, 8280),
        "tokyo247": (75984, 315),
        "tokyoTM_train": (49104, 7277),
    }
    for name, count in counts.items():
        dataset = open_dataset(name.replace("_", "/"), root="/nowhere", spec=real / "dbstructs")
        assert (dataset.numImages, dataset.numQueries) == count
        assert (dataset.posDistSqThr, dataset.nonTrivPosDistSqThr) == (625.0, 100.0)
        assert all(len(dataset.getPosIDs(query)) for query in range(0, dataset.numQueries, 50))


@pytest.mark.real
def test_published_positions_agree_with_the_zone_and_the_names(real):
    from deepibl.geo import utm_to_latlon

    dataset = open_dataset("tokyoTM/train", root="/nowhere", spec=real / "dbstructs")
    for image in range(0, dataset.numImages, 5000):
        latitude, longitude = (float(part) for part in dataset.dbImageFns[image].split("_")[-4:-2])
        found = utm_to_latlon(*dataset.utmDb[image], dataset.utm_zone)
        assert np.abs(np.array(found) - (latitude, longitude)).max() < 2e-4


def test_every_field_that_the_reader_gives_is_an_argument(tmp_path):
    PlaceDataset("x", **read_dbstruct(saved(tmp_path)))
