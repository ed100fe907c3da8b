function y= randsample(values, k, replace)
% MATLAB's randsample of a number or a vector.
    n= numel(values);
    if isscalar(values), n= values; end
    if nargin>2 && replace
        places= floor(n*rand(k, 1)) + 1;
    elseif 4*k>n
        places= randperm(n)(1:k)(:);
    else
        chosen= false(1, n);
        while sum(chosen)<k
            chosen(floor(n*rand(k-sum(chosen), 1)) + 1)= true;
        end
        places= find(chosen)(randperm(k))(:);
    end
    y= places;
    if ~isscalar(values)
        y= values(places);
    end
end
