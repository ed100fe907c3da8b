function ims= vl_imreadjpeg(names, varargin)
% Stand-in for MatConvNet's compiled function, for Octave; 'Resize' to a shorter side, which only enlarges.
    ims= cellfun(@(name) single(imread(name)), names, 'UniformOutput', false);
    at= find(strcmpi(varargin, 'Resize'));
    if ~isempty(at)
        ims= cellfun(@(im) enlarged(im, varargin{at+1}), ims, 'UniformOutput', false);
    end
end


function im= enlarged(im, side)
    [h, w, channels]= size(im);
    factor= side/min(h, w);
    assert(factor>=1);
    rows= spots(h, round(h*factor));
    columns= spots(w, round(w*factor));
    planes= arrayfun(@(c) interp2(im(:,:,c), columns, rows'), 1:channels, 'UniformOutput', false);
    im= cat(3, planes{:});
end


function at= spots(n, count)
    at= min(max(((1:count) - 0.5)*n/count + 0.5, 1), n);
end
