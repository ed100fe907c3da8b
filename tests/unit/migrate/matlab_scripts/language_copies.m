x= 5;
y= x;   % alias
s.list= [1 2 3];
t= s;
t.list(2)= 50;
disp(s.list); disp(t.list);
c= {[1 2], 'a'};
d= c;
d{1}(2)= 9;
disp(c{1}); disp(d{1});
e= c{1}; e(1)= 7; disp(c{1});
f= {c, d}; f{1}{2}= 'zz'; disp(c{2}); disp(f{1}{2});
g= struct('m', {c}); g.m{1}(1)= 33; disp(c{1}); 
function r= chg(v)
 v(1)= 100; v2= v; v2(2)= 200; r= v;
end
q= [1 2 3]; w= chg(q); disp(q); disp(w);
id_= @(v) v; z= id_(q); z(1)= 55; disp(q);
n.a.b= [1 2]; m= n.a; m.b(1)= 10; disp(n.a.b); disp(m.b);
k= n; k.a.b(2)= 20; disp(n.a.b);
for p= {[1 2], [3 4]}, o= p{1}; o(1)= 0; fprintf('%d ', p{1}); end; fprintf('\n');
sa(1).v= [1 2]; sa(2).v= [3 4]; sb= sa; sb(1).v(1)= 99; disp(sa(1).v); sc= sa(2); sc.v(1)= 98; disp(sa(2).v);
[h1, h2]= deal(q); h1(1)= 77; disp(h2); disp(q);
u= cellfun(@(v) v, {q}, 'UniformOutput', false); u{1}(1)= 66; disp(q);
acc= []; for i= 1:3, acc= [acc; i, i^2]; end; disp(acc);
vv= q'; vv(1)= 44; disp(q); rr= reshape(q, 3, 1); rr(1)= 43; disp(q); dd= double(q); dd(1)= 42; disp(q);
aa= q; q(1)= 11; disp(aa);
st= struct('x', q); q(1)= 12; disp(st.x);
cc= {q}; q(1)= 13; disp(cc{1}); fh= @() q; q(1)= 14; disp(fh());
b1= true; b1(3)= true; disp(b1); disp(class(b1)); t1= 'abc'; t2= t1; t1(1)= 'X'; disp(t2); e1= zeros(2,2); e1(:,1)= []; disp(size(e1));
