function y= relja_l2normalize_col(x)
% Stand-in, for Octave.
    y= x ./ (sqrt(sum(x.^2, 1)) + 1e-12);
end
