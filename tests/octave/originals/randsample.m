function y= randsample(n, k, varargin)
% For Octave without the statistics package: all k of n values, in order.
    assert(isscalar(n) && k==n);
    y= (1:n)';
end
