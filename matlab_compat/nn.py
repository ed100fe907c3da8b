"""MatConvNet's blocks on torch tensors, under their original names.

Maps are (N, C, H, W), filters (K, C/groups, H, W); see `matlab_compat.layout` for MATLAB's order. Without
`dzdy` a block is differentiable by autograd; with it, it returns what MATLAB's block returns as derivatives.
Options are keywords (`stride=2`) or MATLAB's pairs (`'stride', 2`). Any device, any floating-point type.
"""

from matlab_compat.nn_activation import vl_nndropout, vl_nnrelu, vl_nnsigmoid, vl_nnsoftmax
from matlab_compat.nn_conv import vl_nnconv, vl_nnconvt
from matlab_compat.nn_loss import vl_nnloss, vl_nnsoftmaxloss
from matlab_compat.nn_norm import vl_nnbnorm, vl_nnbnorm_moments, vl_nnnoffset, vl_nnnormalize, vl_nnspnorm
from matlab_compat.nn_pdist import vl_nnpdist
from matlab_compat.nn_pool import vl_nnpool
from matlab_compat.nn_reshape import vl_nnconcat, vl_nncrop

__all__ = [
    "vl_nnbnorm",
    "vl_nnbnorm_moments",
    "vl_nnconcat",
    "vl_nnconv",
    "vl_nnconvt",
    "vl_nncrop",
    "vl_nndropout",
    "vl_nnloss",
    "vl_nnnoffset",
    "vl_nnnormalize",
    "vl_nnpdist",
    "vl_nnpool",
    "vl_nnrelu",
    "vl_nnsigmoid",
    "vl_nnsoftmax",
    "vl_nnsoftmaxloss",
    "vl_nnspnorm",
]
