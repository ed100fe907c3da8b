classdef DagNN < handle
% Stand-in, for Octave: a graph from the struct of a file, run layer by layer in the order of the file.
    properties
        layers
        vars
        params
        meta
        mode= 'normal'
    end
    methods
        function i= getVarIndex(obj, name)
            i= find(strcmp({obj.vars.name}, name));
        end
        function eval(obj, inputs)
            for i= 1:2:numel(inputs)
                obj.vars(obj.getVarIndex(inputs{i})).value= inputs{i+1};
            end
            for layer= reshape(obj.layers, 1, [])
                taken= cellfun(@(name) obj.vars(obj.getVarIndex(name)).value, layer.inputs, ...
                    'UniformOutput', false);
                weights= cellfun(@(name) obj.params(strcmp({obj.params.name}, name)).value, ...
                    layer.params, 'UniformOutput', false);
                block= layer.block;
                switch layer.type
                    case 'dagnn.Conv'
                        weights{end+1}= [];
                        y= vl_nnconv(taken{1}, weights{1:2}, 'pad', block.pad, 'stride', block.stride);
                    case 'dagnn.ReLU'
                        y= vl_nnrelu(taken{1});
                    case 'dagnn.Sum'
                        y= plus(taken{:});
                end
                obj.vars(obj.getVarIndex(layer.outputs{1})).value= y;
            end
        end
    end
    methods (Static)
        function obj= loadobj(s)
            obj= dagnn.DagNN();
            for name= fieldnames(s)'
                obj.(name{1})= s.(name{1});
            end
            obj.vars(1).value= [];
        end
    end
end
