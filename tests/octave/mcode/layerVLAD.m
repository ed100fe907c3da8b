classdef layerVLAD
% Stand-in, for Octave: NetVLAD pooling over the weights {1 x 1 x D x K, 1 x 1 x D x K}.
    properties
        type= 'custom'
        name= 'VLAD'
        K
        D
        vladDim
        weights
        momentum
        learningRate
        weightDecay
        precious= false
    end
    methods (Static)
        function after= forward(layer, before, after)
            [a, d, K, D, N]= parts(layer, before.x);
            y= zeros(1, K, D, N, 'single');
            for n= 1:N
                y(1,:,:,n)= a(:,:,n)' * d(:,:,n) + sum(a(:,:,n), 1)' .* offsets(layer);
            end
            after.x= y;
        end
        function before= backward(layer, before, after)
            [a, d, K, D, N]= parts(layer, before.x);
            W= reshape(layer.weights{1}, D, K);
            dW= zeros(D, K, 'single');
            dO= zeros(K, D, 'single');
            dx= zeros(size(a, 1), D, N, 'single');
            for n= 1:N
                dy= reshape(after.dzdx(1,:,:,n), K, D);
                da= d(:,:,n) * dy' + sum(dy .* offsets(layer), 2)';
                dp= a(:,:,n) .* (da - sum(da .* a(:,:,n), 2));
                dW= dW + d(:,:,n)' * dp;
                dO= dO + sum(a(:,:,n), 1)' .* dy;
                dx(:,:,n)= a(:,:,n) * dy + dp * W';
            end
            before.dzdx= reshape(permute(dx, [1 3 2]), [size(before.x, 1), size(before.x, 2), N, D]);
            before.dzdx= permute(before.dzdx, [1 2 4 3]);
            before.dzdw= {reshape(dW, 1, 1, D, K), reshape(dO', 1, 1, D, K)};
        end
    end
end

function o= offsets(layer)
    o= reshape(layer.weights{2}, layer.D, layer.K)';
end

function [a, d, K, D, N]= parts(layer, x)
% Assignments (pixels x K x N) and descriptors (pixels x D x N).
    [K, D, N]= deal(layer.K, layer.D, size(x, 4));
    d= permute(reshape(permute(x, [1 2 4 3]), [], N, D), [1 3 2]);
    a= permute(reshape(permute(vl_nnsoftmax(vl_nnconv(x, layer.weights{1}, [])), [1 2 4 3]), [], N, K), [1 3 2]);
end
