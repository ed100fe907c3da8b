classdef Copyable < handle
% Stand-in, for Octave: the base class of MatConvNet's dagnn.DagNN.
end
