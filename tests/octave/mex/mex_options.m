function [dy, opts]= mex_options(opts, given)
% The derivative (where the first value is one) and the options of a stand-in; flags are ignored.
    dy= [];
    if ~isempty(given) && ~ischar(given{1})
        dy= given{1};
        given= given(2:end);
    end
    for i= 1:numel(given)-1
        if ischar(given{i}) && isfield(opts, lower(given{i}))
            opts.(lower(given{i}))= given{i+1};
        end
    end
end
