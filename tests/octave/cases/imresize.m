function y= imresize(x, scale)
% For Octave without the image package: the nearest elements. Its values are not printed by the cases.
    if isscalar(scale), scale= round(scale*[size(x, 1), size(x, 2)]); end
    pick= @(n, m) min(n, ceil((1:m)*n/m));
    y= x(pick(size(x, 1), scale(1)), pick(size(x, 2), scale(2)), :);
end
