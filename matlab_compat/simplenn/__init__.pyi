from .base import (
    ImageNetwork as ImageNetwork,
)
from .base import (
    WeightSpec as WeightSpec,
)
from .display import vl_simplenn_display as vl_simplenn_display
from .edit import (
    relja_cropToLayer as relja_cropToLayer,
)
from .edit import (
    relja_layerNames as relja_layerNames,
)
from .edit import (
    relja_layerTypes as relja_layerTypes,
)
from .edit import (
    relja_netOutputDim as relja_netOutputDim,
)
from .edit import (
    relja_netSave as relja_netSave,
)
from .edit import (
    relja_simplenn_move as relja_simplenn_move,
)
from .edit import (
    relja_swapLayers as relja_swapLayers,
)
from .edit import (
    relja_swapLayersForEfficiency as relja_swapLayersForEfficiency,
)
from .edit import (
    relja_whichLayer as relja_whichLayer,
)
from .edit import (
    vl_simplenn_move as vl_simplenn_move,
)
from .layer import (
    Layer as Layer,
)
from .layer import (
    make_layer as make_layer,
)
from .layer import (
    register_custom as register_custom,
)
from .layers import (
    Conv as Conv,
)
from .layers import (
    Dropout as Dropout,
)
from .layers import (
    Pool as Pool,
)
from .layers import (
    ReLU as ReLU,
)
from .network import SimpleNN as SimpleNN
from .run import vl_simplenn as vl_simplenn
from .tidy import (
    relja_simplenn_tidy as relja_simplenn_tidy,
)
from .tidy import (
    vl_simplenn_tidy as vl_simplenn_tidy,
)
