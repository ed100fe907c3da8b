function is= ismethod(object, name)
% For Octave, which refuses structs here: false, as in MATLAB.
    is= isobject(object) && any(strcmp(methods(object), name));
end
