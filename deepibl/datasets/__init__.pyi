from .catalog import (
    database_places as database_places,
)
from .catalog import (
    evaluation_dataset as evaluation_dataset,
)
from .catalog import (
    load_dbstruct as load_dbstruct,
)
from .catalog import (
    open_dataset as open_dataset,
)
from .catalog import (
    query_places as query_places,
)
from .catalog import (
    training_datasets as training_datasets,
)
from .check import check_dataset as check_dataset
from .dbstruct import (
    read_dbstruct as read_dbstruct,
)
from .dbstruct import (
    write_dbstruct as write_dbstruct,
)
from .folder import (
    Places as Places,
)
from .folder import (
    dataset_from_places as dataset_from_places,
)
from .folder import (
    make_dbstruct as make_dbstruct,
)
from .geo import (
    latlon_to_utm as latlon_to_utm,
)
from .geo import (
    parse_position as parse_position,
)
from .geo import (
    utm_to_latlon as utm_to_latlon,
)
from .pitts_tokyo import (
    Tokyo247 as Tokyo247,
)
from .pitts_tokyo import (
    TokyoTimeMachine as TokyoTimeMachine,
)
from .pitts_tokyo import (
    tiny_tokyo as tiny_tokyo,
)
from .place import (
    Neighbours as Neighbours,
)
from .place import (
    PlaceDataset as PlaceDataset,
)
from .png_to_jpeg import (
    convert_png as convert_png,
)
from .png_to_jpeg import (
    convertPngtoJPG as convertPngtoJPG,
)
from .positions import ClosePosition as ClosePosition
from .retrieval import (
    RetrievalDataset as RetrievalDataset,
)
from .retrieval import (
    crop_queries as crop_queries,
)
from .retrieval import (
    holidays as holidays,
)
from .retrieval import (
    shrink_images as shrink_images,
)
from .retrieval import (
    vgg_buildings as vgg_buildings,
)
