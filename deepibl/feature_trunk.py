"""Describing images from the maps of a network's lower layers, which may have been kept."""

from collections.abc import Sequence

from torch import Tensor

from deepibl.engine import choose_engine
from deepibl.feature_groups import GroupDescriber
from deepibl.trunk_cache import Fetched, TrunkCache


class TrunkDescriber(GroupDescriber):
    """A `GroupDescriber` whose images come as maps of the trunk, and go through the layers above it.

    The maps decide the batches, so these, and the descriptors' bits, are the same whatever was kept.
    The weights above the trunk are read here.
    """

    def __init__(
        self, trunk: TrunkCache, paths: Sequence[str], batch_size: int, precision: str, engine: str
    ) -> None:
        head = trunk.net.with_layers(list(trunk.net)[trunk.first :])
        chosen = choose_engine(head, engine, precision, trunk.device, channels=trunk.channels)
        super().__init__(head, trunk.device, paths, batch_size, precision, None, chosen)
        self._trunk = trunk

    def load(self, number: int) -> Fetched:
        """Image `number`, or its maps. Raises ImageReadError."""
        return self._trunk.fetch(self._paths[number])

    def ready(self, loaded: Fetched) -> Tensor:
        """Its maps (C, H, W)."""
        return self._trunk.maps_of(loaded)

    def batch(self, ready: list[Tensor]) -> Tensor:
        """Maps (N, C, H, W) float32."""
        return self._trunk.join(ready)
