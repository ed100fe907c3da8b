function state= rng(seed, varargin)
% MATLAB's rng by Octave's twister, which draws the same numbers from the same state; 'shuffle' is the next seed.
    if nargout>0
        state= struct('State', rand('twister'));
        if nargin==0, return; end
    end
    if isstruct(seed)
        rand('twister', seed.State);
        return;
    end
    persistent shuffles= 0;
    if ischar(seed)
        shuffles= shuffles + 1;
        seed= 5489 + shuffles;
    end
    words= zeros(624, 1, 'uint64');
    words(1)= seed + 5489*(seed==0);
    for i= 2:624
        mixed= bitxor(words(i-1), bitshift(words(i-1), -30));
        low= bitand(mixed, uint64(65535));
        high= bitshift(mixed, -16);
        product= low*1812433253 + bitshift(bitand(high*uint64(1812433253), uint64(65535)), 16);
        words(i)= bitand(product + uint64(i-1), uint64(4294967295));
    end
    rand('twister', [double(words); 1]);
end
