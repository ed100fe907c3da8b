from .catalog import (
    database_places as database_places,
    evaluation_dataset as evaluation_dataset,
    load_dbstruct as load_dbstruct,
    open_dataset as open_dataset,
    query_places as query_places,
    training_datasets as training_datasets,
)
from .check import check_dataset as check_dataset
from .dbstruct import read_dbstruct as read_dbstruct, write_dbstruct as write_dbstruct
from .folder import (
    Places as Places,
    dataset_from_places as dataset_from_places,
    make_dbstruct as make_dbstruct,
)
from .geo import (
    latlon_to_utm as latlon_to_utm,
    parse_position as parse_position,
    utm_to_latlon as utm_to_latlon,
)
from .pitts_tokyo import Tokyo247 as Tokyo247, TokyoTimeMachine as TokyoTimeMachine, tiny_tokyo as tiny_tokyo
from .place import Neighbours as Neighbours, PlaceDataset as PlaceDataset, PlaceSet as PlaceSet
from .png_to_jpeg import convert_folder as convert_folder, convert_png as convert_png
from .positions import ClosePosition as ClosePosition
from .retrieval import (
    RetrievalDataset as RetrievalDataset,
    crop_queries as crop_queries,
    holidays as holidays,
    shrink_images as shrink_images,
    vgg_buildings as vgg_buildings,
)
