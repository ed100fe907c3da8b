function is= isprop(object, name)
% For Octave, whose isprop does not take structs and objects of value classes.
    is= isobject(object) && any(strcmp(properties(object), name));
end
