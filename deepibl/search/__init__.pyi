from .answer import Answer as Answer, Estimate as Estimate, Match as Match
from .backends import (
    Index as Index,
    check_index as check_index,
    edit_index as edit_index,
    open_index as open_index,
)
from .compressed import CompressedIndex as CompressedIndex, found_again as found_again
from .confidence import Calibration as Calibration
from .exact import Searcher as Searcher, nearest as nearest
from .export import export as export
from .geometry import Matcher as Matcher, Reranker as Reranker, make_matcher as make_matcher
from .index import PlaceIndex as PlaceIndex
from .index_file import check_file as check_file
from .localization import add_to_index as add_to_index, build_index as build_index, localize as localize
from .milvus import MilvusIndex as MilvusIndex
