"""What MATLAB, MatConvNet, relja_matlab and yael gave the original; knows nothing of places."""
