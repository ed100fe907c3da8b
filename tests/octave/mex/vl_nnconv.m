function [y, df, db]= vl_nnconv(x, f, b, varargin)
% Stand-in for MatConvNet's compiled function, for Octave. With a derivative: [dx, df, db].
    [dy, opts]= mex_options(struct('pad', 0, 'stride', 1, 'dilate', 1), varargin);
    [H, W, C, N]= size(x);
    if isempty(f)
        y= x + reshape(b, 1, 1, []);
        return;
    end
    p= opts.pad .* ones(1, 4);
    s= opts.stride .* ones(1, 2);
    [h, w, depth, K]= size(f);
    assert(depth==C && all(opts.dilate==1));
    padded= zeros(H+p(1)+p(2), W+p(3)+p(4), C, N, class(x));
    padded(p(1)+(1:H), p(3)+(1:W), :, :)= x;
    oh= floor((size(padded, 1)-h)/s(1)) + 1;
    ow= floor((size(padded, 2)-w)/s(2)) + 1;
    rows= @(i) i:s(1):i+(oh-1)*s(1);
    columns= @(j) j:s(2):j+(ow-1)*s(2);
    flat= @(a, n) reshape(permute(a, [1 2 4 3]), [], n);
    maps= @(a, n) permute(reshape(a, oh, ow, N, n), [1 2 4 3]);
    out= zeros(oh*ow*N, K, class(x));
    df= zeros(size(f), class(x));
    dpadded= zeros(size(padded), class(x));
    for i= 1:h
        for j= 1:w
            patch= flat(padded(rows(i), columns(j), :, :), C);
            part= reshape(f(i,j,:,:), C, K);
            if isempty(dy)
                out= out + patch * part;
            else
                df(i,j,:,:)= reshape(patch' * flat(dy, K), 1, 1, C, K);
                dpadded(rows(i), columns(j), :, :)= dpadded(rows(i), columns(j), :, :) ...
                    + maps(flat(dy, K) * part', C);
            end
        end
    end
    if ~isempty(dy)
        y= dpadded(p(1)+(1:H), p(3)+(1:W), :, :);
        db= [];
        if ~isempty(b)
            db= reshape(sum(flat(dy, K), 1), size(b));
        end
        return;
    end
    y= maps(out, K);
    if ~isempty(b)
        y= y + reshape(b, 1, 1, []);
    end
end
