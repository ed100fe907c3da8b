function y= vl_nnpool(x, pool, varargin)
% Stand-in for MatConvNet's compiled function, for Octave. With a derivative: dx.
    [dy, opts]= mex_options(struct('pad', 0, 'stride', 1, 'method', 'max'), varargin);
    [H, W, C, N]= size(x);
    p= opts.pad .* ones(1, 4);
    s= opts.stride .* ones(1, 2);
    q= pool .* ones(1, 2);
    oh= floor((H+p(1)+p(2)-q(1))/s(1)) + 1;
    ow= floor((W+p(3)+p(4)-q(2))/s(2)) + 1;
    y= zeros(oh, ow, C, N, class(x));
    dx= zeros(size(x), class(x));
    for i= 1:oh
        for j= 1:ow
            r= max(1, (i-1)*s(1)-p(1)+1) : min(H, (i-1)*s(1)-p(1)+q(1));
            c= max(1, (j-1)*s(2)-p(3)+1) : min(W, (j-1)*s(2)-p(3)+q(2));
            window= reshape(x(r, c, :, :), [], 1, C, N);
            if strcmp(opts.method, 'max')
                [value, at]= max(window, [], 1);
                share= (1:numel(r)*numel(c))' == at;
            else
                value= mean(window, 1);
                share= ones(size(window)) / (numel(r)*numel(c));
            end
            y(i,j,:,:)= value;
            if ~isempty(dy)
                dx(r,c,:,:)= dx(r,c,:,:) + reshape(share .* dy(i,j,:,:), numel(r), numel(c), C, N);
            end
        end
    end
    if ~isempty(dy)
        y= dx;
    end
end
