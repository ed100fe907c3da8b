"""Visual place recognition: deepIBL (SARE) and NetVLAD, ported from MATLAB to PyTorch."""
