function save(varargin)
% For Octave, which has no -v7.3 and cannot save objects: v7, and layers as structs that name their class.
    flags= strncmp(varargin, '-', 1);
    names= varargin(~flags);
    file= names{1};
    stored= struct();
    if any(strcmp(varargin, '-append'))
        stored= builtin('load', file);
    end
    for name= names(2:end)
        stored.(name{1})= evalin('caller', name{1});
    end
    if isfield(stored, 'net')
        for i= 1:numel(stored.net.layers)
            if isobject(stored.net.layers{i})
                class__= class(stored.net.layers{i});
                stored.net.layers{i}= struct(stored.net.layers{i});
                stored.net.layers{i}.class__= class__;
            end
        end
    end
    builtin('save', '-v7', file, '-struct', 'stored');
end
