x= 1; % functions follow
function A= magic_(n)
  A= reshape(1:n*n, n, n)';
end
names= {'a.jpg', 'bb.png', 'c.jpg'};
isJ= cellfun(@(n) ~isempty(strfind(n, '.jpg')), names);
jpgs= names(isJ);
fprintf('%s\n', jpgs{:});
[~, base, ext]= fileparts('/x/y/photo.tar.gz'); disp(base); disp(ext);
opts= struct('N', 5, 'name', 'x');
for f= fieldnames(opts)', fprintf('%s ', f{1}); end; fprintf('\n');
v= opts.('N') + 1; fprintf('%d\n', v);
A= magic_(3); disp(A(2,:)); disp(A(:,end)'); 
A(2,:)= []; disp(size(A));
s= sprintf('%d,', [1 2 3]); s(end)= []; disp(s);
parts= strsplit('a,b,,c', ','); disp(numel(parts));
j= strjoin({'x','y'}, '-'); disp(j);
t= regexp('ep000012_latest', 'ep(\d+)_', 'tokens'); disp(str2double(t{1}{1}));
m= regexp('abc123', '\d+', 'match', 'once'); disp(m);
disp(regexprep('hello world', 'o(\w)?', '<$1>'));
x= linspace(0, 1, 3); fprintf('%.3f ', x); fprintf('\n');
d= sqrt(sum(bsxfun(@minus, [1 2; 3 4], [1; 1]).^2, 1)); fprintf('%.4f ', d); fprintf('\n');
[q, w]= deal(1, 'z'); disp(q); disp(w);
r= repmat('=', 1, 10); disp(r);
c= num2cell([1 2 3]); disp(c{2});
z= cellfun(@(a, b) a + b, {1, 2}, {3, 4}); disp(z);
u= cellfun(@upper, {'a', 'b'}, 'UniformOutput', false); disp(u{2});
k= arrayfun(@(i) i^2, 1:3); disp(k);
[tf, loc]= ismember([5 1 3], [1 2 3]); disp(tf); disp(loc);
[ss, ii]= sort({'pear', 'apple'}); disp(ss{1}); disp(ii);
e= isempty(find([0 0], 1)); disp(e);
n= norm([3 4]); disp(n); disp(mean([1 2; 3 4], 2)'); disp(std([1 2 3 4])); disp(var([1 2 3 4], 1));
mm= max([1 5; 7 2], [], 2); disp(mm'); disp(max(max([1 5; 7 2]))); disp(min(3, [1 5]));
b= any([0 0; 0 1]); disp(b); disp(all([1 1])); disp(cumsum([1 2; 3 4], 2));
l= logical([1 0 2]); disp(l); disp(~l); disp(class(l)); disp(xor(true, false));
i8= uint8(250) + 10; disp(i8); disp(class(i8)); disp(int32(7) / int32(2)); disp(idivide(int32(7), int32(2))); disp(mod(-7, 3)); disp(rem(-7, 3));
disp(5 / 0); disp(-1 / 0); disp(0 / 0);
disp(num2str(1e10)); disp(num2str(123456.789)); disp(num2str(0.000012345)); disp(num2str(-0.5)); disp(num2str(true)); disp(num2str([1 -2 3])); disp(num2str(pi, 8)); disp(num2str(1.23456789e-5)); disp(num2str(100.125)); disp(num2str(99999.5));
disp(mat2str([1 2; 3 4.5])); disp(mat2str([true false])); disp(mat2str([])); disp(mat2str([0.1 1/3]));
