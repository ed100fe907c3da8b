function ims= vl_imreadjpeg(names, varargin)
% Stand-in for MatConvNet's compiled function, for Octave; without its resizing.
    ims= cellfun(@(name) single(imread(name)), names, 'UniformOutput', false);
end
