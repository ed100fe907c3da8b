from . import (
    arguments as arguments,
)
from . import (
    dagnn as dagnn,
)
from . import (
    errors as errors,
)
from . import (
    faiss_library as faiss_library,
)
from . import (
    files as files,
)
from . import (
    images as images,
)
from . import (
    jpeg as jpeg,
)
from . import (
    language as language,
)
from . import (
    matfile as matfile,
)
from . import (
    network as network,
)
from . import (
    nn as nn,
)
from . import (
    numeric as numeric,
)
from . import (
    relja as relja,
)
from . import (
    rng as rng,
)
from . import (
    simplenn as simplenn,
)
from . import (
    yael as yael,
)
from .arguments import vl_argparse as vl_argparse
from .images import vl_imreadjpeg as vl_imreadjpeg
from .nn import (
    vl_nnbnorm as vl_nnbnorm,
)
from .nn import (
    vl_nnbnorm_moments as vl_nnbnorm_moments,
)
from .nn import (
    vl_nnconcat as vl_nnconcat,
)
from .nn import (
    vl_nnconv as vl_nnconv,
)
from .nn import (
    vl_nnconvt as vl_nnconvt,
)
from .nn import (
    vl_nncrop as vl_nncrop,
)
from .nn import (
    vl_nndropout as vl_nndropout,
)
from .nn import (
    vl_nnloss as vl_nnloss,
)
from .nn import (
    vl_nnnoffset as vl_nnnoffset,
)
from .nn import (
    vl_nnnormalize as vl_nnnormalize,
)
from .nn import (
    vl_nnpdist as vl_nnpdist,
)
from .nn import (
    vl_nnpool as vl_nnpool,
)
from .nn import (
    vl_nnrelu as vl_nnrelu,
)
from .nn import (
    vl_nnsigmoid as vl_nnsigmoid,
)
from .nn import (
    vl_nnsoftmax as vl_nnsoftmax,
)
from .nn import (
    vl_nnsoftmaxloss as vl_nnsoftmaxloss,
)
from .nn import (
    vl_nnspnorm as vl_nnspnorm,
)
from .relja import (
    relja_dir as relja_dir,
)
from .relja import (
    relja_display as relja_display,
)
from .relja import (
    relja_displayDateTime as relja_displayDateTime,
)
from .relja import (
    relja_endsWith as relja_endsWith,
)
from .relja import (
    relja_expandUser as relja_expandUser,
)
from .relja import (
    relja_hrminsec as relja_hrminsec,
)
from .relja import (
    relja_l2normalize_col as relja_l2normalize_col,
)
from .relja import (
    relja_PCA as relja_PCA,
)
from .relja import (
    relja_progress as relja_progress,
)
from .relja import (
    relja_randomHex as relja_randomHex,
)
from .relja import (
    relja_retrievalMAP as relja_retrievalMAP,
)
from .relja import (
    relja_startsWith as relja_startsWith,
)
from .simplenn import (
    relja_cropToLayer as relja_cropToLayer,
)
from .simplenn import (
    relja_layerNames as relja_layerNames,
)
from .simplenn import (
    relja_layerTypes as relja_layerTypes,
)
from .simplenn import (
    relja_netOutputDim as relja_netOutputDim,
)
from .simplenn import (
    relja_netSave as relja_netSave,
)
from .simplenn import (
    relja_simplenn_move as relja_simplenn_move,
)
from .simplenn import (
    relja_simplenn_tidy as relja_simplenn_tidy,
)
from .simplenn import (
    relja_swapLayers as relja_swapLayers,
)
from .simplenn import (
    relja_swapLayersForEfficiency as relja_swapLayersForEfficiency,
)
from .simplenn import (
    relja_whichLayer as relja_whichLayer,
)
from .simplenn import (
    vl_simplenn as vl_simplenn,
)
from .simplenn import (
    vl_simplenn_display as vl_simplenn_display,
)
from .simplenn import (
    vl_simplenn_move as vl_simplenn_move,
)
from .simplenn import (
    vl_simplenn_tidy as vl_simplenn_tidy,
)
from .yael import (
    yael_kmeans as yael_kmeans,
)
from .yael import (
    yael_nn as yael_nn,
)
