% compare_mat(first, second, name_first, name_second): whether two .mat files hold the same network.
% Compares names of fields, classes, sizes and values, cell by cell; prints every difference and
% 'differences: N' at the end. An empty name compares all variables of the file.
function compare_mat(first, second, name_first, name_second)
  one = load(first);
  two = load(second);
  if ~isempty(name_first), one = one.(name_first); end
  if ~isempty(name_second), two = two.(name_second); end
  count = differences(one, two, 'net');
  printf('differences: %d\n', count);
end

function count = differences(one, two, where)
  count = 0;
  if ~strcmp(class(one), class(two))
    printf('%s: class %s, %s\n', where, class(one), class(two));
    count = 1;
  elseif ~isequal(size(one), size(two))
    printf('%s: size [%s], [%s]\n', where, num2str(size(one)), num2str(size(two)));
    count = 1;
  elseif isstruct(one)
    names = fieldnames(one);
    if ~isequal(sort(names), sort(fieldnames(two)))
      printf('%s: fields %s, %s\n', where, strjoin(names', ' '), strjoin(fieldnames(two)', ' '));
      count = 1;
      return;
    end
    for i = 1:numel(one)
      for j = 1:numel(names)
        place = sprintf('%s(%d).%s', where, i, names{j});
        count = count + differences(one(i).(names{j}), two(i).(names{j}), place);
      end
    end
  elseif iscell(one)
    for i = 1:numel(one)
      count = count + differences(one{i}, two{i}, sprintf('%s{%d}', where, i));
    end
  elseif ~isequaln(one, two)
    printf('%s: other values\n', where);
    count = 1;
  end
end
