function deepibl_reference(net, imPath, imageFns, outFn, varargin)
%DEEPIBL_REFERENCE  Writes what MATLAB computes of a few images, for `deepibl verify`.
%   DEEPIBL_REFERENCE(NET, IMPATH, IMAGEFNS, OUTFN) runs the network on the images
%   [IMPATH, IMAGEFNS{i}] one by one and writes their names, sizes and features to
%   OUTFN, a .mat file. Then, on the command line,
%
%       deepibl verify model.mat --features OUTFN
%
%   compares them with what deepibl computes (--root where the images are elsewhere).
%
%   DEEPIBL_REFERENCE(..., NAME, VALUE) takes the options
%     'layers'  {}     names of layers whose output of the first image is kept, or 'all'
%     'resize'  []     shorter side to which images are scaled; [] reads them as they are
%     'useGPU'  false  compute on the GPU. On a CPU the normalisation layers of
%                      MatConvNet are approximate, which verify knows
%
%   Example:
%       net= deepibl_load('best.mat');
%       deepibl_reference(net, '/data/images/', {'a.jpg', 'b.jpg'}, 'ref.mat', ...
%           'layers', {'conv5_3', 'vlad:core'});
%
%   See also DEEPIBL_LOAD, DEEPIBL_CHECK.

    opts= struct('layers', {{}}, 'resize', [], 'useGPU', false);
    for i= 1:2:numel(varargin)
        if ~isfield(opts, varargin{i})
            error('deepibl:reference', 'Unknown option %s; known are %s', varargin{i}, ...
                strjoin(fieldnames(opts)', ', '));
        end
        opts.(varargin{i})= varargin{i+1};
    end
    if ~isstruct(net)
        error('deepibl:reference', 'The network must be a chain of layers, not a %s', class(net));
    end
    names= cellfun(@(l) l.name, net.layers, 'UniformOutput', false);
    kept= opts.layers;
    if strcmp(kept, 'all')
        kept= names;
    end
    kept= cellstr(kept);
    [known, where]= ismember(kept, names);
    if ~all(known)
        error('deepibl:reference', 'The network has no layer %s; it has %s', ...
            strjoin(kept(~known), ', '), strjoin(names, ', '));
    end
    if opts.useGPU
        net= relja_simplenn_move(net, 'gpu');
    end
    mu= single(net.meta.normalization.averageImage(1,1,:));
    reading= {};
    if ~isempty(opts.resize)
        reading= {'Resize', opts.resize};
    end

    n= numel(imageFns);
    reference= struct('version', 1, 'root', imPath, 'images', {reshape(imageFns, 1, [])}, ...
        'sizes', zeros(n, 2), 'features', [], 'resize', opts.resize, 'useGPU', opts.useGPU, ...
        'layers', {reshape(kept, 1, [])}, 'input', [], 'outputs', {cell(1, numel(kept))});
    for i= 1:n
        ims= vl_imreadjpeg({[imPath, imageFns{i}]}, reading{:});
        x= single(ims{1});
        reference.sizes(i,:)= [size(x, 1), size(x, 2)];
        if size(x, 3)==1
            x= repmat(x, [1 1 3]);
        end
        x= bsxfun(@minus, x, mu);
        if opts.useGPU
            x= gpuArray(x);
        end
        first= i==1 && ~isempty(kept);
        res= vl_simplenn(net, x, [], [], 'mode', 'test', 'conserveMemory', ~first);
        features= fetch(res(end).x);
        if i==1
            reference.features= zeros(numel(features), n, 'single');
        end
        if numel(features)~=size(reference.features, 1)
            error('deepibl:reference', ['%s has %d features, the first image %d: images of ' ...
                'different sizes need a network that ends in pooling'], imageFns{i}, ...
                numel(features), size(reference.features, 1));
        end
        reference.features(:,i)= features(:);
        if first
            reference.input= fetch(x);
            for j= 1:numel(kept)
                reference.outputs{j}= fetch(res(where(j)+1).x);
            end
        end
    end
    save(outFn, 'reference', '-v7');
    fprintf('wrote %s: %d images, %d features each\n', outFn, n, size(reference.features, 1));
end


function x= fetch(x)
    if isa(x, 'gpuArray')
        x= gather(x);
    end
end
