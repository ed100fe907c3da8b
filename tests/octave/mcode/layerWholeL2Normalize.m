classdef layerWholeL2Normalize
% Stand-in, for Octave.
    properties
        type= 'custom'
        name= 'wholeL2'
        precious= false
    end
    methods (Static)
        function after= forward(layer, before, after)
            x= reshape(before.x, [], size(before.x, 4));
            after.x= reshape(relja_l2normalize_col(x), 1, 1, [], size(x, 2));
        end
        function before= backward(layer, before, after)
            x= reshape(before.x, [], size(before.x, 4));
            dy= reshape(after.dzdx, size(x));
            y= relja_l2normalize_col(x);
            dx= (dy - y .* sum(y .* dy, 1)) ./ (sqrt(sum(x.^2, 1)) + 1e-12);
            before.dzdx= reshape(dx, size(before.x));
        end
    end
end
