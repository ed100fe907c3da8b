from .backbones import (
    CAFFE as CAFFE,
    IMAGENET as IMAGENET,
    Preprocessing as Preprocessing,
    TorchExtractor as TorchExtractor,
    from_torch as from_torch,
    with_netvlad as with_netvlad,
)
from .build import (
    LayerVLAD as LayerVLAD,
    LayerVLADv2 as LayerVLADv2,
    add_pca as add_pca,
    add_pooling as add_pooling,
    append_pca as append_pca,
    prepare_for_testing as prepare_for_testing,
    prepare_for_training as prepare_for_training,
)
from .clusters import get_clusters as get_clusters
from .conversion import convert as convert, difference as difference
from .export import DescriptorModule as DescriptorModule
from .feature_maps import FeatureMaps as FeatureMaps
from .identity import Extractor as Extractor, network_id as network_id
from .io import load_network as load_network, save_network as save_network
from .pretrained import fetch as fetch, load_pretrained as load_pretrained
from .torch_backbones import load_torch_network as load_torch_network, split_for as split_for
from .torch_files import KEY_MAPS as KEY_MAPS, KeyMap as KeyMap
from .weights import (
    DEFAULT_NETWORK as DEFAULT_NETWORK,
    card as card,
    default_folder as default_folder,
    find_network as find_network,
    list_networks as list_networks,
)
