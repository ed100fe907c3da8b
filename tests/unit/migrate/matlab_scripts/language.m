% MATLAB's language in one script: Octave and the translated Python must print the same
names = {'a', 'bb', 'ccc'};
for k = 1:numel(names)
    fprintf('%d: %s\n', k, names{k});
end
x = 1:5; x(2) = 2.5; x(end+1) = 7;
y = x;
y(1) = 100;
fprintf('%g ', x); fprintf('\n');
fprintf('%g ', y); fprintf('\n');
[m, i] = max(x); fprintf('%g at %d\n', m, i);
[s, order] = sort([3 1 2]); fprintf('%d ', s, order); fprintf('\n');
t.a = 3; t.b = 'text';
u = t; u.a = 4; fprintf('%d %d\n', t.a, u.a);
if strcmp(t.b, 'text') && ~isempty(x), fprintf('yes\n'); else, fprintf('no\n'); end
c = {}; c{end+1} = 'one'; c{end+1} = 'two';
while numel(c) < 4
    c{end+1} = sprintf('%d', numel(c));
end
fprintf('%s ', c{:}); fprintf('\n');
switch t.b
    case 'no'
        fprintf('first\n');
    case {'other', 'text'}
        fprintf('second\n');
    otherwise
        fprintf('third\n');
end
try
    error('my:id', 'oops %d', 3);
catch problem
    fprintf('caught\n');
end
f = @(v) v + 1;
fprintf('%d\n', f(2));
idx = find(x > 2);
fprintf('%g ', idx, x(idx), x(idx(1))); fprintf('\n');
fprintf('%g ', x(2:end-1)); fprintf('\n');
fprintf('%g ', x(1:2:end)); fprintf('\n');
fprintf('%g ', x(end), x(end-1)); fprintf('\n');
n = 0;
fprintf('[%g]', x(1:n-1)); fprintf('\n');
for v = 0:0.25:1, fprintf('%g ', v); end, fprintf('\n');
for v = 5:-2:1, fprintf('%g ', v); end, fprintf('\n');
for q = names, fprintf('<%s>', q{1}); end, fprintf('\n');
w = [1 2; 3 4]; fprintf('%d %d\n', w(1,2), w(2,1)); fprintf('%d ', w(:, end)); fprintf('\n');
lambda = 3; print_ = 4;
fprintf('%s\n', ['a', 'b', num2str(lambda), num2str(0.5)]);
fprintf('%d %d %d\n', mod(5, 3), mod(-1, 3), round(2.5));
r = []; for k = 1:3, r = [r, k^2]; end
fprintf('%d ', r); fprintf('\n');
fprintf('%d %d %d\n', (1 > 0) + (2 > 0), sum(x > 2), any(x > 100));
z = zeros(1, 3); z(2) = 0.5; fprintf('%g ', z); fprintf('\n');
b = x; b(2) = []; fprintf('%g ', b); fprintf('\n');
p = true; p = ~p; fprintf('%d\n', p);
fprintf('%d %d\n', numel('abc'), length(names));
kept = {}; row = zeros(1, 2);
for k = 1:2, row(k) = k; kept{end+1} = row; end
fprintf('%g ', kept{1}, kept{2}); fprintf('\n');
pair.v = row; row(1) = 50; fprintf('%g ', pair.v); fprintf('\n');
box = {row}; row(1) = 60; fprintf('%g ', box{1}); fprintf('\n');
fprintf('%g %g %d\n', max([1 NaN 3]), max(NaN, 2), any([0 1]) + all([1 1]));
id = 1; id_ = 2; fprintf('%d %d\n', id, id_);
opt.def = true; opt.lambda = 2; fprintf('%d %d\n', opt.def, opt.lambda);
a = [1 2 3]; col = a'; fprintf('%d ', [col; 4]); fprintf('\n');
m2 = [a; a * 2]; fprintf('%d ', m2(2, :), m2(:, 1), m2(end, end)); fprintf('\n');
n2 = [col, col * 2]; fprintf('%d ', n2(3, :)); fprintf('\n');
d = zeros(3, 1); d(2) = 1; fprintf('%d ', d + col); fprintf('\n');
fprintf('%g ', mean(m2, 1), mean(m2, 2)); fprintf('\n');
for v = col', fprintf('<%d>', v); end, fprintf('\n');
e = []; for k = 1:3, e = [e; k]; end, fprintf('%d ', e' + a); fprintf('\n');
total = 0; k = 0;
while true
    k = k + 1;
    if k == 2, continue; end
    if k > 4, break; end
    total = total + k;
end
fprintf('%d\n', total);
if ismember('bb', names) && ~any(ismember({'zz', 'a'}, {'zz'}) & false), fprintf('in\n'); end
