function feats= computeRepresentation(net, im, varargin)
% Stand-in, for Octave.
    if size(im, 3)==1
        im= repmat(im, [1 1 3]);
    end
    res= vl_simplenn(net, im - net.meta.normalization.averageImage(1,1,:));
    feats= res(end).x(:);
end
