function x= gather(x)
% For Octave: arrays are on the CPU.
end
