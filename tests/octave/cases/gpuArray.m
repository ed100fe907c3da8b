function x= gpuArray(x)
% For Octave: arrays stay on the CPU.
end
