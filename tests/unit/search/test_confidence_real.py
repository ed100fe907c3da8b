"""Confidences on real photos: a district of Cambridge, and photos that were taken elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.datasets.folder import read_places
from deepibl.search.answer import VERDICTS
from deepibl.search.localization import build_index, localize
from tests.reliability.confidence import nowhere
from tests.squeezenet_keras import squeezenet

pytestmark = [pytest.mark.real, pytest.mark.slow]
NOT_SURE = VERDICTS[-1][1]


def test_real_photos_are_found_as_often_as_predicted_and_others_are_not_claimed(
    real: Path, tmp_path: Path
) -> None:
    net, city = squeezenet(real, "gem"), real / "images" / "cambridge" / "val"
    index, _ = build_index(net, read_places(city / "db.csv"), tmp_path / "city.idx")
    asked = read_places(city / "query.csv")
    paths = [str(city / name) for name in asked.names]
    found, failures = localize(net, paths, index, top=1)
    sure = np.array([found[path].confidence for path in paths])
    places = np.array([[found[path][0].east, found[path][0].north] for path in paths])
    right = np.hypot(*(places - asked.positions).T) <= 25
    print(f"\n{index.calibration}; right {right.mean():.2f}, confidence {sure.mean():.2f}")
    assert not failures
    assert abs(sure.mean() - right.mean()) < 0.15
    assert np.mean((sure - right) ** 2) < 0.9 * right.mean() * (1 - right.mean())
    garden = sorted((real / "images" / "gardens_point" / "day_left").glob("*.jpg"))[::5]
    others = {"nowhere": nowhere(tmp_path), "a garden": [str(path) for path in garden]}
    for name, photos in others.items():
        answers = localize(net, photos, index)[0].values()
        claimed = [answer for answer in answers if answer.verdict != NOT_SURE]
        assert len(claimed) <= 0.1 * len(photos), name
        assert not any(answer.verdict == VERDICTS[0][1] for answer in claimed), name
