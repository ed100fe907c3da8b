function y= vl_nnrelu(x, dy, varargin)
% Stand-in, for Octave.
    if nargin<2 || isempty(dy)
        y= max(x, 0);
    else
        y= dy .* (x>0);
    end
end
