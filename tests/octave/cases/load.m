function varargout= load(file, varargin)
% For Octave, which cannot save objects: layers that are structs with a class__ become objects of that class.
    if ~exist(file, 'file') && exist([file, '.mat'], 'file')
        file= [file, '.mat'];
    end
    values= builtin('load', file, varargin{:});
    if isfield(values, 'net') && isfield(values.net, 'layers')
        values.net.layers= objects(values.net.layers);
    elseif isfield(values, 'layers')
        values.layers= objects(values.layers);
    end
    if nargout>0
        varargout{1}= values;
        return;
    end
    for name= fieldnames(values)'
        assignin('caller', name{1}, values.(name{1}));
    end
end


function layers= objects(layers)
    for i= 1:numel(layers)
        fields= layers{i};
        if isfield(fields, 'class__')
            layers{i}= feval(fields.class__);
            for name= setdiff(fieldnames(fields)', {'class__'})
                layers{i}.(name{1})= fields.(name{1});
            end
        end
    end
end
