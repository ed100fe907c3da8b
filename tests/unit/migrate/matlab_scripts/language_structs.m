x= 1; % functions follow
function r= ifelse(x)
  if x, r= 'yes'; return; end
  r= 'no';
end
results= struct('epoch', {}, 'recall', {});
for i= 1:3, results(end+1)= struct('epoch', i, 'recall', i/4); end
fprintf('%d %.2f\n', [results.epoch; results.recall]);
best= results(3); best.epoch= 99; disp(results(3).epoch);
results(2)= []; disp(numel(results)); disp(isfield(results, 'epoch'));
s= struct('x', {{1, 2}}); disp(iscell(s.x)); disp(numel(s.x));
p.list= {}; p.list{end+1}= 'a'; p.list{end+1}= 'b'; disp(numel(p.list)); disp(p.list{end});
p.sub.v(3)= 7; disp(p.sub.v); p.arr(2).n= 'k'; disp(isempty(p.arr(1).n)); disp(p.arr(2).n);
q= rmfield(p, 'list'); disp(isfield(q, 'list')); disp(isfield(p, {'list', 'zz'}));
m= zeros(2, 3); m(:)= 1:6; disp(m); m(end+1, :)= [7 8 9]; disp(m); m(:, 2)= []; disp(m); disp(m(:, 1)'); disp(m(end)); disp(m(end, 1));
x= []; x(end+1)= 3; x(end+1)= 4; disp(x); x(5)= 1; disp(x); y= x'; y(7)= 2; disp(size(y));
c= cell(1, 3); c{2}= 'two'; disp(isempty(c{1})); c(2)= []; disp(numel(c));
w= 'hello'; disp(w(end:-1:1)); disp(w([1 end])); w(1)= 'J'; disp(w); disp(double(w(1:2))); disp(upper(w)); disp(length(w));
disp(strcmp({'a', 'b'}, 'b')); disp(strcmpi('AB', 'ab')); disp(strncmp('abc', 'abd', 2)); disp(strrep('aXbX', 'X', '--')); disp(strtrim(sprintf('  a b \n'))); disp(isspace('a b')); disp(strfind('abcabc', 'bc')); disp(fliplr('abc'));
if [] disp('no'); else, disp('empty is false'); end
if [1 1 0], disp('no'); else, disp('not all'); end
k= 0; while true, k= k + 1; if k == 2, continue; end; if k > 3, break; end; fprintf('%d ', k); end; fprintf('\n');
for col= [1 2; 3 4], fprintf('%d-%d ', col); end; fprintf('\n');
for v= {'a', 'b'; 'c', 'd'}, fprintf('%s%s ', v{1}, v{2}); end; fprintf('\n');
for ch= 'xyz', fprintf('[%s]', ch); end; fprintf('\n');
switch 3, case {1, 2}, disp('a'); case 3, disp('three'); end
switch 'Foo', case 'foo', disp('lower'); otherwise, disp('other'); end
try, error('a:b', 'msg %d', 4); catch err, disp(err.message); disp(err.identifier); end
try, error('plain'); catch err, disp(err.message); disp(isempty(err.identifier)); end
try, z= [1 2 3]; z(7); catch, disp('caught'); end
f= @(varargin_) numel(varargin_); disp(f([1 2 3]));
g= @plus; disp(g(1, 2)); h= @(x) x.^2 + 1; disp(h([1 2 3])); disp(feval(@max, [3 9 2]));
a= 5; adder= @(x) x + a; a= 100; disp(adder(1));
disp(1:0); disp(isempty(1:0)); disp(numel(0:0.1:1)); disp(10:-3:1);
disp(any(isnan([1 NaN]))); disp(isequal([1 2], [1 2])); disp(isequal('a', 'b')); disp(isequal(struct('a', 1), struct('a', 1)));
[r, c2]= find([0 1; 1 0]); disp(r'); disp(c2'); [r, c2]= size(ones(2, 3)); disp([r c2]); disp(size(ones(2, 3, 4))); [r, c2]= size(ones(2, 3, 4)); disp(c2);
disp(sum(ones(2, 3, 2), 3)); disp(squeeze(ones(1, 1, 3))'); disp(permute(reshape(1:6, 1, 2, 3), [3 2 1]));
disp(unique([3 1 2 3 1])); [u, i, j]= unique([3 1 3]); disp(u); disp(j(:)'); disp(fliplr([1 2 3])); disp(diag([1 2; 3 4])'); disp(round(2.5)); disp(round(-2.5)); disp(fix(-2.7));
disp([1 2; 3 4] \ [5; 6]); disp([1 2; 3 4] ^ 2); disp([1 2; 3 4] .^ 2); disp(2 .^ [1 2 3]); disp([1 2; 3 4]'); disp([1 2 3] * [4 5 6]'); disp([1 2 3]' * [1 2]);
disp(histc([1 2 2 5], 1:5)); disp(accumarray([1; 2; 1], [10; 20; 30])'); disp(floor(log10(1234))); disp(nnz([1 0 2])); disp(dot([1 2 3], [4 5 6])); disp(prod([1 2 3 4])); disp(diff([1 4 9])); disp(median([3 1 2])); 
disp(ifelse(true)); 
fprintf('%d %d\n', [results.epoch; results.epoch]); w= {results.epoch}; disp(numel(w)); disp(max([results.recall]));
