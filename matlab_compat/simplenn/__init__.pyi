from .base import ImageNetwork as ImageNetwork, WeightSpec as WeightSpec
from .display import vl_simplenn_display as vl_simplenn_display
from .edit import (
    relja_cropToLayer as relja_cropToLayer,
    relja_layerNames as relja_layerNames,
    relja_layerTypes as relja_layerTypes,
    relja_netOutputDim as relja_netOutputDim,
    relja_netSave as relja_netSave,
    relja_simplenn_move as relja_simplenn_move,
    relja_swapLayers as relja_swapLayers,
    relja_swapLayersForEfficiency as relja_swapLayersForEfficiency,
    relja_whichLayer as relja_whichLayer,
    vl_simplenn_move as vl_simplenn_move,
)
from .layer import (
    Layer as Layer,
    UnknownLayer as UnknownLayer,
    make_layer as make_layer,
    register_custom as register_custom,
    register_layer as register_layer,
)
from .layers import Conv as Conv, Dropout as Dropout, Pool as Pool, ReLU as ReLU
from .network import SimpleNN as SimpleNN
from .run import vl_simplenn as vl_simplenn
from .tidy import relja_simplenn_tidy as relja_simplenn_tidy, vl_simplenn_tidy as vl_simplenn_tidy
