from .conv import vl_nnconv as vl_nnconv, vl_nnconvt as vl_nnconvt
from .loss import vl_nnloss as vl_nnloss, vl_nnpdist as vl_nnpdist, vl_nnsoftmaxloss as vl_nnsoftmaxloss
from .normalise import (
    vl_nnbnorm as vl_nnbnorm,
    vl_nnbnorm_moments as vl_nnbnorm_moments,
    vl_nnnoffset as vl_nnnoffset,
    vl_nnnormalize as vl_nnnormalize,
    vl_nnspnorm as vl_nnspnorm,
)
from .pointwise import (
    vl_nnconcat as vl_nnconcat,
    vl_nncrop as vl_nncrop,
    vl_nndropout as vl_nndropout,
    vl_nnrelu as vl_nnrelu,
    vl_nnsigmoid as vl_nnsigmoid,
    vl_nnsoftmax as vl_nnsoftmax,
)
from .pool import vl_nnpool as vl_nnpool
