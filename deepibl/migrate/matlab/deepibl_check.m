function ok= deepibl_check()
%DEEPIBL_CHECK  Is everything there that networks and sessions of deepibl need to run?
%   DEEPIBL_CHECK prints one line for each thing, with what to do where it is missing.
%   OK= DEEPIBL_CHECK is true if all that networks need is there. relja_matlab is needed
%   by the trainers and layerWholeL2Normalize; dagnn by DagNNs only; Python by calls of
%   the port from MATLAB only.
%
%   See also DEEPIBL_LOAD, DEEPIBL_REFERENCE.

    setup= 'run vl_setupnn of MatConvNet';
    netvlad= 'run setup of NetVLAD (it needs relja_matlab and MatConvNet in localPaths)';
    ok= found('vl_simplenn', setup);
    ok= found('vl_simplenn_tidy', setup) && ok;
    ok= computes('vl_nnconv', @() vl_nnconv(ones(2, 2, 'single'), ones(2, 2, 'single'), []), 4) && ok;
    ok= computes('vl_nnpool', @() vl_nnpool(single([1 2; 3 4]), [2 2]), 4) && ok;
    ok= computes('vl_nnrelu', @() vl_nnrelu(single(-1)), 0) && ok;
    ok= computes('vl_nnsoftmax', @() vl_nnsoftmax(zeros(1, 1, 2, 'single')), [0.5 0.5]) && ok;
    ok= computes('vl_nnnormalize', @() vl_nnnormalize(single(3), [2 1e-12 1 0.5]), 1) && ok;
    ok= found('vl_imreadjpeg', 'compile MatConvNet: vl_compilenn(''enableImreadJpeg'', true)') && ok;
    ok= found('computeRepresentation', netvlad) && ok;
    ok= found('relja_l2normalize_col', netvlad) && ok;
    for name= {'layerVLAD', 'layerVLADv2', 'layerTotalMaxPool', 'layerTotalAvgPool', ...
            'layerWholeL2Normalize'}
        ok= found(name{1}, netvlad) && ok;
    end
    found('dagnn.DagNN', 'only DagNNs need it: run vl_setupnn of MatConvNet');
    python();
end


function ok= found(name, remedy)
    try
        where= which(name);
    catch problem
        where= '';
        remedy= problem.message;
    end
    ok= ~isempty(where);
    report(ok, name, where, remedy);
end


function ok= computes(name, call, expected)
    try
        result= call();
        ok= isequal(size(result(:)), size(expected(:))) && ...
            max(abs(double(result(:)) - expected(:))) < 1e-2;
        remedy= sprintf('computes %s instead of %s', mat2str(double(result(:)')), mat2str(expected));
    catch problem
        ok= false;
        remedy= ['run vl_compilenn and vl_setupnn of MatConvNet: ', problem.message];
    end
    report(ok, name, 'computes', remedy);
end


function python()
    if exist('OCTAVE_VERSION', 'builtin')
        report(false, 'Python', '', 'Octave cannot call it; MATLAB can');
        return;
    end
    try
        module= py.importlib.import_module('deepibl');
        report(true, 'Python', char(py.getattr(module, '__file__')), '');
    catch problem
        report(false, 'Python', '', ['only calls of the port need it: pyenv(''Version'', ' ...
            '''/path/to/python'') of the environment with deepibl: ', problem.message]);
    end
end


function report(ok, name, there, remedy)
    if ok
        fprintf('ok       %-24s %s\n', name, there);
    else
        fprintf('missing  %-24s %s\n', name, remedy);
    end
end
