classdef layerTotalMaxPool
% Stand-in, for Octave.
    properties
        type= 'custom'
        name= 'maxTotal'
        precious= false
    end
    methods (Static)
        function after= forward(layer, before, after)
            after.x= vl_nnpool(before.x, [size(before.x, 1), size(before.x, 2)], 'method', 'max');
        end
        function before= backward(layer, before, after)
            before.dzdx= vl_nnpool(before.x, [size(before.x, 1), size(before.x, 2)], after.dzdx, ...
                'method', 'max');
        end
    end
end
