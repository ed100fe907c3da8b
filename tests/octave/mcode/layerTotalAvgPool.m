classdef layerTotalAvgPool
% Stand-in, for Octave.
    properties
        type= 'custom'
        name= 'avgTotal'
        precious= false
    end
    methods (Static)
        function after= forward(layer, before, after)
            after.x= vl_nnpool(before.x, [size(before.x, 1), size(before.x, 2)], 'method', 'avg');
        end
        function before= backward(layer, before, after)
            before.dzdx= vl_nnpool(before.x, [size(before.x, 1), size(before.x, 2)], after.dzdx, ...
                'method', 'avg');
        end
    end
end
