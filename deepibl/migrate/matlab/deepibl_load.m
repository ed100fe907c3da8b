function [net, rest]= deepibl_load(file)
%DEEPIBL_LOAD  A network or session that deepibl wrote, ready to run in MatConvNet.
%   NET= DEEPIBL_LOAD(FILE) returns the network of a .mat file of deepibl as
%   vl_simplenn, computeRepresentation, serialAllFeats and the trainers run it: a
%   chain of layers, tidied, whose custom layers are objects of their classes
%   (layerVLAD, layerWholeL2Normalize, ...), or a dagnn.DagNN.
%
%   [NET, REST]= DEEPIBL_LOAD(FILE) also returns the file's other variables as a
%   struct: obj, opts and auxData of a session.
%
%   MatConvNet, and the classes of the custom layers (NetVLAD), must be on the path.
%
%   Example:
%       net= deepibl_load('best.mat');
%       im= vl_imreadjpeg({'a.jpg'});
%       feats= computeRepresentation(net, im{1}, 'useGPU', false);
%
%   See also DEEPIBL_SESSION, DEEPIBL_REFERENCE, DEEPIBL_CHECK.

    if ~exist(file, 'file')
        error('deepibl:load', 'There is no file %s', file);
    end
    stored= load(file);
    if isfield(stored, 'net')
        net= stored.net;
        rest= rmfield(stored, 'net');
    elseif isfield(stored, 'layers')
        net= stored;
        rest= struct();
    else
        error('deepibl:load', ['%s holds no network: it needs a variable net, or layers; ' ...
            'found %s'], file, strjoin(fieldnames(stored)', ', '));
    end
    if isobject(net)
        return;
    end
    if ~isstruct(net) || ~isfield(net, 'layers')
        error('deepibl:load', '%s holds no network: net is a %s without layers', file, class(net));
    end
    if isstruct(net.layers)
        need('dagnn.DagNN', 'the network is a DagNN');
        net= dagnn.DagNN.loadobj(net);
        return;
    end
    for i= 1:numel(net.layers)
        net.layers{i}= runnable(net.layers{i}, i);
    end
    need('vl_simplenn_tidy', 'it fills in what layers need to run');
    if isempty(which('relja_simplenn_tidy'))
        net= vl_simplenn_tidy(net);
    else
        net= relja_simplenn_tidy(net);
    end
end


function layer= runnable(layer, i)
% A custom layer that is a struct becomes an object of the class that its field class__ names.
    if ~isstruct(layer) || ~strcmp(layer.type, 'custom')
        return;
    end
    if ~isfield(layer, 'class__')
        error('deepibl:load', ['Layer %d is a custom layer that does not name its class, so it ' ...
            'cannot run: give it a field class__, e.g. ''layerVLAD'', in the file'], i);
    end
    fields= rmfield(layer, 'class__');
    if strcmp(layer.class__, 'torchBackbone')
        error('deepibl:load', 'Layer %d is a backbone of torch, which runs in Python only', i);
    end
    need(layer.class__, sprintf('layer %d is one', i));
    layer= feval(layer.class__);
    for name= fieldnames(fields)'
        if ~isprop(layer, name{1})
            error('deepibl:load', ['Layer %d has a field %s, which the class %s on the path does ' ...
                'not have: %s is of another version'], i, name{1}, class(layer), which(class(layer)));
        end
        layer.(name{1})= fields.(name{1});
    end
end


function need(name, why)
    if isempty(which(name))
        error('deepibl:load', ['%s is not on the path (%s): run vl_setupnn of MatConvNet and ' ...
            'setup of NetVLAD first'], name, why);
    end
end
