function varargout= load(file, varargin)
% For Octave, which cannot save objects: a trainer that resumes gets the session through deepibl_session.
    if nargout>0
        varargout{1}= builtin('load', file, varargin{:});
        return;
    end
    if isequal(varargin, {'net', 'obj', 'opts', 'auxData'})
        [values.net, values.obj, values.opts, values.auxData]= ...
            deepibl_session(file, regexprep(file, '[^/]*$', ''));
    else
        values= builtin('load', file, varargin{:});
    end
    for name= fieldnames(values)'
        assignin('caller', name{1}, values.(name{1}));
    end
end
