function order= randperm(n)
% MATLAB's randperm: the order of n random numbers.
    [~, order]= sort(rand(1, n));
end
