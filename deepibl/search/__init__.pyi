from .backends import (
    Index as Index,
)
from .backends import (
    check_index as check_index,
)
from .backends import (
    edit_index as edit_index,
)
from .backends import (
    open_index as open_index,
)
from .compressed import (
    CompressedIndex as CompressedIndex,
)
from .compressed import (
    found_again as found_again,
)
from .exact import (
    Searcher as Searcher,
)
from .exact import (
    nearest as nearest,
)
from .index import (
    Match as Match,
)
from .index import (
    PlaceIndex as PlaceIndex,
)
from .index_file import check_file as check_file
from .localization import (
    add_to_index as add_to_index,
)
from .localization import (
    build_index as build_index,
)
from .localization import (
    localize as localize,
)
from .milvus import MilvusIndex as MilvusIndex
