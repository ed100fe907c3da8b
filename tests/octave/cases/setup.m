function setup()
% The paths are set already.
end
