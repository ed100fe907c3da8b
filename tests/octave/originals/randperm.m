function order= randperm(n)
% For Octave, whose generator is not MATLAB's: the order of the variable order in order.mat.
    order= builtin('load', 'order.mat').order;
    assert(numel(order)==n);
end
