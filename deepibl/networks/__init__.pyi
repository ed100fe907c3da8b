from .build import (
    LayerVLAD as LayerVLAD,
)
from .build import (
    LayerVLADv2 as LayerVLADv2,
)
from .build import (
    add_pca as add_pca,
)
from .build import (
    add_pooling as add_pooling,
)
from .build import (
    append_pca as append_pca,
)
from .build import (
    prepare_for_testing as prepare_for_testing,
)
from .build import (
    prepare_for_training as prepare_for_training,
)
from .clusters import get_clusters as get_clusters
from .conversion import (
    convert as convert,
)
from .conversion import (
    difference as difference,
)
from .export import Describer as Describer
from .identity import network_id as network_id
from .io import (
    load_network as load_network,
)
from .io import (
    save_network as save_network,
)
from .pretrained import (
    fetch as fetch,
)
from .pretrained import (
    load_pretrained as load_pretrained,
)
from .torch_backbones import (
    load_torch_network as load_torch_network,
)
from .torch_backbones import (
    split_for as split_for,
)
from .torch_files import (
    KEY_MAPS as KEY_MAPS,
)
from .torch_files import (
    KeyMap as KeyMap,
)
from .weights import (
    card as card,
)
from .weights import (
    default_folder as default_folder,
)
from .weights import (
    find_network as find_network,
)
