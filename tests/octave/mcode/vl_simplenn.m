function res= vl_simplenn(net, x, dzdy, res, varargin)
% Stand-in, for Octave: forward, or with dzdy backward from the results of a forward pass.
    n= numel(net.layers);
    if nargin<3 || isempty(dzdy)
        res= struct('x', cell(1, n+1), 'dzdx', [], 'dzdw', []);
        res(1).x= x;
        for i= 1:n
            layer= net.layers{i};
            x= res(i).x;
            switch layer.type
                case 'conv'
                    x= vl_nnconv(x, layer.weights{:}, 'pad', layer.pad, 'stride', layer.stride);
                case 'pool'
                    x= vl_nnpool(x, layer.pool, 'pad', layer.pad, 'stride', layer.stride, ...
                        'method', layer.method);
                case 'normalize'
                    x= vl_nnnormalize(x, layer.param);
                case 'relu'
                    x= vl_nnrelu(x);
                case 'custom'
                    res(i+1)= layer.forward(layer, res(i), res(i+1));
                    continue;
                otherwise
                    error('Unknown layer type %s', layer.type);
            end
            res(i+1).x= x;
        end
        return;
    end
    res(n+1).dzdx= dzdy;
    for i= n:-1:1
        layer= net.layers{i};
        dy= res(i+1).dzdx;
        switch layer.type
            case 'conv'
                [res(i).dzdx, res(i).dzdw{1}, res(i).dzdw{2}]= vl_nnconv(res(i).x, ...
                    layer.weights{:}, dy, 'pad', layer.pad, 'stride', layer.stride);
            case 'pool'
                res(i).dzdx= vl_nnpool(res(i).x, layer.pool, dy, 'pad', layer.pad, 'stride', ...
                    layer.stride, 'method', layer.method);
            case 'normalize'
                res(i).dzdx= vl_nnnormalize(res(i).x, layer.param, dy);
            case 'relu'
                res(i).dzdx= vl_nnrelu(res(i).x, dy);
            case 'custom'
                res(i)= layer.backward(layer, res(i), res(i+1));
        end
    end
end
