function y= vl_nnnormalize(x, param, dy)
% Stand-in for MatConvNet's compiled function, for Octave, with the exact power. With dy: dx.
    [window, kappa, alpha, beta]= deal(param(1), param(2), param(3), param(4));
    C= size(x, 3);
    c= 1:C;
    near= c' - c >= -floor((window-1)/2) & c' - c <= ceil((window-1)/2);  % (i, k): k sees i
    over= @(a, m) permute(reshape(reshape(permute(a, [1 2 4 3]), [], C) * m, ...
        size(a,1), size(a,2), size(a,4), C), [1 2 4 3]);
    L= kappa + alpha * over(x.^2, single(near));
    y= x .* L.^(-beta);
    if nargin>2
        y= dy .* L.^(-beta) - 2*alpha*beta * x .* over(dy .* x .* L.^(-beta-1), single(near'));
    end
end
