function [net, obj, opts, auxData]= deepibl_session(file, outPrefix)
%DEEPIBL_SESSION  A training session of deepibl, for the original trainers to go on with.
%   DEEPIBL_SESSION(FILE, OUTPREFIX) reads the state after an epoch,
%   <prefix><session>_ep000004_latest.mat, and writes it as
%   OUTPREFIX<session>_ep000004_latest.mat with objects of the layer classes and
%   OUTPREFIX in its options. Then, in the original,
%
%       trainWeakly(dbTrain, dbVal, 'sessionID', '53e0', ...
%           'outPrefix', OUTPREFIX, 'startEpoch', 5);
%
%   computes the features of the training set and goes on with epoch 5, from
%   momenta of zero. trainGaussKernalInd, -Joint, trainExpKernalInd and -Joint
%   stop at an undefined variable when they resume, maxImgIntraPlace: delete it
%   after display(opts) in them.
%
%   [NET, OBJ, OPTS, AUXDATA]= DEEPIBL_SESSION(FILE, OUTPREFIX) returns the four
%   variables and writes nothing. Octave can only do this: it cannot save objects.
%
%   See also DEEPIBL_LOAD.

    epoch= regexp(file, '_ep\d{6}_latest\.mat$', 'match', 'once');
    if isempty(epoch)
        error('deepibl:session', ['%s is not named as the state after an epoch, ' ...
            '<prefix><session>_ep000004_latest.mat'], file);
    end
    [net, rest]= deepibl_load(file);
    missing= setdiff({'obj', 'opts', 'auxData'}, fieldnames(rest));
    if ~isempty(missing)
        error('deepibl:session', '%s is not a state of a session: it lacks %s', file, ...
            strjoin(missing, ', '));
    end
    obj= rest.obj;
    opts= rest.opts;
    auxData= rest.auxData;
    if isfield(auxData, 'deepibl') && ~auxData.deepibl.epochDone
        error('deepibl:session', ['%s was saved in the middle of epoch %d, after batch %d: the ' ...
            'original goes on from the end of an epoch only'], file, auxData.deepibl.epoch, ...
            auxData.deepibl.batch);
    end
    opts.outPrefix= outPrefix;
    if nargout>0
        return;
    end
    if exist('OCTAVE_VERSION', 'builtin')
        error('deepibl:session', ['Octave cannot save objects: ask for the outputs, ' ...
            '[net, obj, opts, auxData]= deepibl_session(file, outPrefix)']);
    end
    target= [outPrefix, opts.sessionID, epoch];
    if exist(target, 'file')
        error('deepibl:session', '%s exists: give another outPrefix, or move it away', target);
    end
    save(target, 'net', 'obj', 'opts', 'auxData', '-v7.3');
    fprintf('wrote %s\n', target);
end
