function y= vl_nnsoftmax(x, dy)
% Stand-in, for Octave.
    e= exp(x - max(x, [], 3));
    y= e ./ sum(e, 3);
    if nargin>1
        y= y .* (dy - sum(dy .* y, 3));
    end
end
