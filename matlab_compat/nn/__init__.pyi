from .conv import (
    vl_nnconv as vl_nnconv,
)
from .conv import (
    vl_nnconvt as vl_nnconvt,
)
from .loss import (
    vl_nnloss as vl_nnloss,
)
from .loss import (
    vl_nnpdist as vl_nnpdist,
)
from .loss import (
    vl_nnsoftmaxloss as vl_nnsoftmaxloss,
)
from .normalise import (
    vl_nnbnorm as vl_nnbnorm,
)
from .normalise import (
    vl_nnbnorm_moments as vl_nnbnorm_moments,
)
from .normalise import (
    vl_nnnoffset as vl_nnnoffset,
)
from .normalise import (
    vl_nnnormalize as vl_nnnormalize,
)
from .normalise import (
    vl_nnspnorm as vl_nnspnorm,
)
from .pointwise import (
    vl_nnconcat as vl_nnconcat,
)
from .pointwise import (
    vl_nncrop as vl_nncrop,
)
from .pointwise import (
    vl_nndropout as vl_nndropout,
)
from .pointwise import (
    vl_nnrelu as vl_nnrelu,
)
from .pointwise import (
    vl_nnsigmoid as vl_nnsigmoid,
)
from .pointwise import (
    vl_nnsoftmax as vl_nnsoftmax,
)
from .pool import vl_nnpool as vl_nnpool
