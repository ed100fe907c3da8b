function net= vl_simplenn_tidy(net)
% Stand-in, for Octave: the fields without which vl_simplenn cannot run a layer.
    for i= 1:numel(net.layers)
        layer= net.layers{i};
        if strcmp(layer.type, 'custom')
            continue;
        end
        usual= struct('name', sprintf('layer%d', i), 'precious', false, 'weights', {{}});
        switch layer.type
            case 'conv'
                [usual.pad, usual.stride]= deal(0, 1);
            case 'pool'
                [usual.pad, usual.stride, usual.method]= deal(0, 1, 'max');
        end
        for name= fieldnames(usual)'
            if ~isfield(layer, name{1})
                layer.(name{1})= usual.(name{1});
            end
        end
        net.layers{i}= layer;
    end
end
