# ruff: noqa: E501  # lines of MATLAB
"""Random MATLAB programs of the subset on which MATLAB and Octave agree, for comparing them with their
translations.

Every program is valid by construction: the generator knows the kind and the size of each variable. Values
are small
integers and halves, so that sums have one result whatever their order.
"""

import random
from dataclasses import dataclass, field

Shape = tuple[int, int]
COMPARE = ["<", "<=", ">", ">=", "==", "~="]


@dataclass
class Program:
    """The state of one program: its lines, and its variables by kind."""

    dice: random.Random
    lines: list[str] = field(default_factory=list)
    numbers: dict[str, Shape] = field(default_factory=dict)
    masks: dict[str, Shape] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    cells: dict[str, int] = field(default_factory=dict)
    structs: dict[str, list[str]] = field(default_factory=dict)
    count: int = 0

    def name(self) -> str:
        """A new variable's name; some of those that Python has for itself."""
        self.count += 1
        return self.dice.choice(["x", "m", "list", "sum_", "len", "np", "k", "in"])[:4].replace(
            "in", "inn"
        ) + str(self.count)

    def number(self) -> str:
        """A literal number."""
        return self.dice.choice(
            [str(self.dice.randint(0, 9)), f"{self.dice.randint(0, 9)}.5", "0.25", "1e2", "3"]
        )

    def shape(self) -> Shape:
        """A size."""
        return self.dice.choice(
            [
                (1, 1),
                (1, 1),
                (1, self.dice.randint(2, 4)),
                (self.dice.randint(2, 4), 1),
                (2, 3),
                (3, 3),
                (2, 2),
            ]
        )

    def of(self, pool: dict[str, Shape], shape: Shape) -> list[str]:
        """The variables of this size."""
        return [name for name, size in pool.items() if size == shape]

    def leaf(self, shape: Shape) -> str:
        """A value of this size without operators of the lowest levels."""
        rows, columns = shape
        known = self.of(self.numbers, shape)
        ways = ["literal"] + ["variable"] * (3 * bool(known))
        turned = self.of(self.numbers, (columns, rows))
        if turned:
            ways += ["turned"]
        if shape == (1, 1):
            ways += ["element"] * bool([s for s in self.numbers.values() if s != (1, 1)])
            ways += ["count", "sum"] * bool(self.numbers)
            ways += ["text"] * bool(self.texts)
        else:
            ways += ["make"] + ["range"] * (rows == 1)
        way = self.dice.choice(ways)
        if way == "variable":
            return self.dice.choice(known)
        if way == "turned":
            return self.dice.choice(turned) + "'"
        if way == "element":
            name, size = self.dice.choice([(n, s) for n, s in self.numbers.items() if s != (1, 1)])
            return self.dice.choice(
                [
                    f"{name}({self.dice.randint(1, size[0] * size[1])})",
                    f"{name}(end)",
                    f"{name}({self.dice.randint(1, size[0])},end)",
                    f"{name}(end-{min(1, size[0] * size[1] - 1)})",
                ]
            )
        if way == "count":
            name = self.dice.choice(list(self.numbers))
            return self.dice.choice(
                [f"numel({name})", f"size({name},1)", f"size({name},2)", f"length({name})"]
            )
        if way == "sum":
            name = self.dice.choice(list(self.numbers))
            function = self.dice.choice(["sum", "max", "min"])
            return f"{function}({name}(:) + 0)"
        if way == "text":
            return f"length({self.dice.choice(sorted(self.texts))})"
        if way == "range":
            start, step = self.dice.randint(0, 3), self.dice.choice([1, 2, -1])
            return f"({start}:{step}:{start + step * (columns - 1)})"
        if way == "make":
            return self.dice.choice(
                [
                    f"zeros({rows},{columns})",
                    f"ones({rows},{columns})",
                    self.matrix(shape),
                    f"repmat({self.number()},{rows},{columns})",
                ]
            )
        return self.number() if shape == (1, 1) else self.matrix(shape)

    def matrix(self, shape: Shape) -> str:
        """A literal matrix; elements separated by commas or blanks."""
        rows = []
        for _ in range(shape[0]):
            items = [self.dice.choice(["", "", "-"]) + self.number() for _ in range(shape[1])]
            rows.append(self.dice.choice([", ", " "]).join(items))
        return "[" + self.dice.choice(["; ", ";"]).join(rows) + "]"

    def expression(self, shape: Shape, depth: int) -> str:
        """Numbers of this size; operators without parentheses more often than with them."""
        if depth == 0:
            return self.leaf(shape)
        way = self.dice.choice(
            ["binary"] * 5
            + ["sign", "power", "function", "product", "parentheses", "compare", "not", "and", "divide"]
        )
        if way == "binary":
            other = self.dice.choice([shape, (1, 1), (1, shape[1]), (shape[0], 1)])
            sides = [self.expression(shape, depth - 1), self.expression(other, depth - 1)]
            self.dice.shuffle(sides)
            return f" {self.dice.choice(['+', '-', '.*'])} ".join(sides)
        if way == "sign":
            inner = self.expression(shape, depth - 1)
            return f"-({inner})" if inner[0] in "-~" else f"-{inner}"  # Octave's --x is another operator
        if way == "power":
            return (
                f"{self.leaf(shape)}.^{self.dice.choice(['2', '3', '0', '1'])}"
                if shape != (1, 1)
                else f"{self.leaf(shape)}{self.dice.choice(['^', '.^'])}{self.dice.choice(['2', '3', '-1', '2^2'])}"
            )
        if way == "function":
            function = self.dice.choice(["abs", "floor", "ceil", "round", "fix", "sign", "double", "cumsum"])
            return f"{function}({self.expression(shape, depth - 1)})"
        if way == "product":
            inner = self.dice.randint(1, 3)
            return f"{self.leaf((shape[0], inner))}*{self.leaf((inner, shape[1]))}"
        if way == "parentheses":
            return f"({self.expression(shape, depth - 1)})"
        if way == "compare":
            return f"({self.condition(shape, depth - 1)})"
        if way == "not":
            return f"~{self.leaf(shape)}"
        if way == "and":
            return f"({self.leaf(shape)} {self.dice.choice(['&', '|'])} {self.leaf(shape)})"
        return f"{self.expression(shape, depth - 1)} ./ {self.dice.choice(['2', '4', '-8', '0.5', '0'])}"

    def condition(self, shape: Shape, depth: int) -> str:
        """Logicals of this size."""
        way = self.dice.choice(["compare"] * 3 + ["chain", "both", "not", "mask", "scalar"])
        a, b = self.expression(shape, depth), self.expression(self.dice.choice([shape, (1, 1)]), depth)
        if way == "compare":
            return f"{a} {self.dice.choice(COMPARE)} {b}"
        if way == "chain":
            return f"{a} {self.dice.choice(COMPARE)} {b} {self.dice.choice(COMPARE)} {self.number()}"
        if way == "both":
            return f"{a} {self.dice.choice(COMPARE)} {self.number()} {self.dice.choice(['&', '|'])} {self.leaf(shape)} {self.dice.choice(COMPARE)} {self.leaf((1, 1))}"
        if way == "not":
            return f"~({a}) {self.dice.choice(COMPARE)} {self.number()}"
        known = self.of(self.masks, shape)
        if way == "mask" and known:
            return self.dice.choice(["", "~"]) + self.dice.choice(known)
        if shape == (1, 1):
            return (
                f"{self.leaf(shape)} > {self.number()} {self.dice.choice(['&&', '||'])} ~{self.leaf(shape)}"
            )
        return f"{a} > {self.number()}"

    def text(self) -> str:
        """A string."""
        way = self.dice.choice(["literal", "variable", "number", "joined", "format", "upper", "replace"])
        known = sorted(self.texts)
        if way == "variable" and known:
            return self.dice.choice(known)
        if way == "number":
            return f"num2str({self.expression((1, 1), 1)})"
        if way == "joined" and known:
            return f"[{self.dice.choice(known)}, '-', num2str({self.dice.randint(0, 99)})]"
        if way == "format":
            return f"sprintf('%s_%03d', 'ab', {self.dice.randint(0, 999)})"
        if way == "upper" and known:
            return f"{self.dice.choice(['upper', 'lower', 'strtrim', 'fliplr'])}({self.dice.choice(known)})"
        if way == "replace" and known:
            return f"strrep({self.dice.choice(known)}, 'a', 'xy')"
        return "'" + "".join(self.dice.choice("abc A_") for _ in range(self.dice.randint(1, 6))) + "'"

    def statement(self) -> None:
        """Adds one statement, or a few that belong together."""
        way = self.dice.choice(
            ["number"] * 6
            + ["mask"] * 2
            + ["text"] * 2
            + [
                "cell",
                "struct",
                "index",
                "grow",
                "pick",
                "remove",
                "loop",
                "if",
                "switch",
                "handle",
                "sort",
                "unique",
                "copy",
                "concat",
                "while",
                "cellfun",
                "reduce",
                "try",
                "maskpick",
                "stringcmp",
                "structarray",
                "celledit",
            ]
        )
        getattr(self, f"_{way}")()

    def _add(self, line: str) -> None:
        self.lines.append(line)

    def _number(self) -> None:
        name, shape = self.name(), self.shape()
        self._add(f"{name}= {self.expression(shape, self.dice.randint(1, 3))};")
        self.numbers[name] = shape

    def _mask(self) -> None:
        name, shape = self.name(), self.shape()
        self._add(f"{name}= {self.condition(shape, 1)};")
        self.masks[name] = shape

    def _text(self) -> None:
        name = self.name()
        self._add(f"{name}= {self.text()};")
        self.texts.add(name)

    def _cell(self) -> None:
        name = self.name()
        items = [
            self.dice.choice([self.text, lambda: self.expression((1, 2), 1), self.number])()
            for _ in range(self.dice.randint(1, 3))
        ]
        self._add(f"{name}= {{{', '.join(items)}}};")
        self.cells[name] = len(items)

    def _celledit(self) -> None:
        if self.cells:
            name = self.dice.choice(list(self.cells))
            if self.dice.random() < 0.5:
                self._add(f"{name}{{end+1}}= {self.expression((1, 1), 1)};")
                self.cells[name] += 1
            else:
                other = self.name()
                self._add(f"{other}= {name}(1:end); {other}{{1}}= 'changed';")
                self.cells[other] = self.cells[name]

    def _struct(self) -> None:
        name = self.name()
        self._add(
            f"{name}.a= {self.expression((1, 1), 1)}; {name}.b= {self.text()}; {name}.c.d= {self.matrix((1, 3))};"
        )
        self._add(f"{name}.c.d({self.dice.randint(1, 5)})= {self.number()};")
        if self.dice.random() < 0.5:
            other = self.name()
            self._add(f"{other}= {name}; {other}.a= 77; {other}.c.d(1)= 88;")
            self._add(f"fprintf('%g %g|', {name}.a, {name}.c.d); fprintf('%g %s\\n', {other}.a, {other}.b);")

    def _structarray(self) -> None:
        name = self.name()
        self._add(f"{name}= struct('v', {{}});")
        for _ in range(self.dice.randint(1, 3)):
            self._add(f"{name}(end+1).v= {self.expression((1, 1), 1)};")
        self._add(f"fprintf('%d:', numel({name})); fprintf('%g ', [{name}.v]); fprintf('\\n');")

    def _index(self) -> None:
        if self.numbers:
            name = self.dice.choice(list(self.numbers))
            rows, columns = self.numbers[name]
            self._add(f"{name}= double({name});")  # what a number in a logical array becomes differs
            way = self.dice.randint(0, 2)
            if way == 0:
                self._add(f"{name}({self.dice.randint(1, rows * columns)})= {self.expression((1, 1), 1)};")
            elif way == 1:
                self._add(f"{name}({self.dice.randint(1, rows)},:)= {self.expression((1, columns), 1)};")
            else:
                self._add(f"{name}(:,{self.dice.randint(1, columns)})= {self.expression((rows, 1), 1)};")

    def _grow(self) -> None:
        name = self.name()
        self._add(self.dice.choice([f"{name}= [];", f"{name}= zeros(1,0);", f"{name}= {self.number()};"]))
        self._add(
            f"{name}({self.dice.choice(['end+1', '3', 'end+2'])})= double({self.expression((1, 1), 1)}); {name}(end+1)= {self.number()};"
        )
        self._add(f"disp(size({name})); fprintf('%g ', {name}); fprintf('\\n');")

    def _pick(self) -> None:
        pool = [n for n, s in self.numbers.items() if s != (1, 1)]
        if pool:
            source, name = self.dice.choice(pool), self.name()
            rows, columns = self.numbers[source]
            way = self.dice.randint(0, 4)
            if way == 0:
                self._add(f"{name}= {source}({self.dice.randint(1, rows)},:);")
                self.numbers[name] = (1, columns)
            elif way == 1:
                self._add(f"{name}= {source}(end:-1:1,1);")
                self.numbers[name] = (rows, 1)
            elif way == 2:
                self._add(f"{name}= {source}(:)';")
                self.numbers[name] = (1, rows * columns)
            elif way == 3:
                self._add(f"{name}= {source}([1 end],:);")
                self.numbers[name] = (2, columns)
            else:
                self._add(f"{name}= reshape({source}, [], {rows});")
                self.numbers[name] = (columns, rows)

    def _maskpick(self) -> None:
        pool = [n for n, s in self.numbers.items() if s != (1, 1)]
        if pool:
            source, name = self.dice.choice(pool), self.name()
            limit = self.number()
            self._add(
                f"{name}= {source}({source}{self.dice.choice(COMPARE)}{limit}); fprintf('%d %d:', size({name})); fprintf('%g ', [{name}(:); 7]); fprintf('%g ', find([{source}(:); 1e3]>{limit})); fprintf('\\n');"
            )
            self._add(f"{source}= double({source}); {source}({source}<{limit})= {self.number()};")

    def _remove(self) -> None:
        pool = [n for n, s in self.numbers.items() if s[0] == 1 and s[1] > 2]
        if pool:
            name = self.dice.choice(pool)
            self._add(
                f"{name}({self.dice.choice(['1', 'end', '[1 2]'])})= []; fprintf('%d|', numel({name}));"
            )
            self._add(
                f"{name}= {name}(:)'; {name}= [{name} 1 2 3 4]; {name}= {name}(1:{self.numbers[name][1]});"
            )

    def _loop(self) -> None:
        name, turn = self.name(), self.name()
        source = self.dice.choice(["1:3", "3:-1:1", "0:0.5:1", self.leaf((1, 3)), self.leaf((2, 2)), "[]"])
        self._add(
            f"{name}= 0;\nfor {turn}= {source}\n  {name}= {name} + sum({turn}(:)) {self.dice.choice(['', '* 2', '- 1'])};\n  if {name} > 20, break; end\nend"
        )
        self.numbers[name] = (1, 1)

    def _while(self) -> None:
        name = self.name()
        self._add(
            f"{name}= {self.dice.randint(5, 30)};\nwhile {name} > {self.dice.randint(1, 4)} && true\n  {name}= floor({name} / 2);\nend"
        )
        self.numbers[name] = (1, 1)

    def _if(self) -> None:
        name = self.name()
        shape = self.dice.choice([(1, 1), (1, 1), (1, 3)])
        self._add(
            f"if {self.condition(shape, 1)}\n  {name}= {self.expression((1, 1), 1)};\nelseif {self.condition((1, 1), 0)}\n  {name}= 2;\nelse\n  {name}= {self.number()};\nend"
        )
        self.numbers[name] = (1, 1)

    def _switch(self) -> None:
        name = self.name()
        subject = self.dice.choice([self.text(), f"{self.dice.randint(1, 3)}"])
        cases = (
            ["'ab'", "{'a', 'b'}"]
            if "'" in subject or "(" in subject or not subject.isdigit()
            else ["1", "{2, 3}"]
        )
        self._add(
            f"switch {subject}\n  case {cases[0]}\n    {name}= 1;\n  case {cases[1]}\n    {name}= 2;\n  otherwise\n    {name}= 3;\nend"
        )
        self.numbers[name] = (1, 1)

    def _handle(self) -> None:
        function, held, name, shape = self.name(), self.name(), self.name(), self.shape()
        self._add(
            f"{held}= {self.number()}; {function}= @(t) t {self.dice.choice(['+', '-', '.*'])} {held}^2; {held}= 99;"
        )
        self._add(f"{name}= {function}({self.expression(shape, 1)});")
        self.numbers[name] = shape

    def _sort(self) -> None:
        shape = self.dice.choice([(1, 4), (4, 1), (3, 3)])
        name, place = self.name(), self.name()
        self._add(
            f"[{name}, {place}]= {self.dice.choice(['sort', 'max', 'min'])}({self.expression(shape, 1)}{self.dice.choice(['', ''])});"
        )
        self._add(f"fprintf('%g ', {name}, {place}); fprintf('\\n');")

    def _unique(self) -> None:
        name = self.name()
        shape = self.dice.choice([(1, 4), (4, 1)])
        self._add(
            f"{name}= unique(abs({self.expression(shape, 1)})); fprintf('%g ', {name}, size({name}), any(ismember({name}, [1 2 3]))); fprintf('\\n');"
        )

    def _copy(self) -> None:
        if self.numbers:
            source, name = self.dice.choice(list(self.numbers)), self.name()
            self._add(
                f"{source}= {source} + 0; {name}= {source}; {name}(1)= 55; fprintf('%g ', {source}); fprintf('\\n');"
            )
            self.numbers[name] = self.numbers[source]

    def _concat(self) -> None:
        name, rows = self.name(), self.dice.randint(1, 3)
        parts = [self.dice.randint(1, 2) for _ in range(self.dice.randint(1, 3))]
        inner = self.dice.choice([", ", " "])
        if self.dice.random() < 0.5:
            self._add(f"{name}= [{inner.join(self.leaf((rows, n)) for n in parts)}];")
            self.numbers[name] = (rows, sum(parts))
        else:
            self._add(f"{name}= [{'; '.join(self.leaf((n, rows)) for n in parts)}];")
            self.numbers[name] = (sum(parts), rows)

    def _cellfun(self) -> None:
        if self.cells:
            name = self.dice.choice(list(self.cells))
            self._add(
                f"fprintf('%g ', cellfun(@numel, {name}), cellfun('isempty', {name}), cellfun(@(e) ischar(e), {name})); fprintf('\\n');"
            )

    def _reduce(self) -> None:
        shape = self.dice.choice([(2, 3), (3, 3), (1, 4), (4, 1)])
        function = self.dice.choice(["sum", "prod", "any", "all", "cumsum", "mean"])
        self._add(
            f"fprintf('%g ', {function}({self.expression(shape, 1)}{self.dice.choice(['', ', 1', ', 2'])})); fprintf('\\n');"
        )

    def _try(self) -> None:
        self._add(
            "try\n  error('my:id', 'bad %d', 3);\ncatch e\n  fprintf('%s %s\\n', e.message, e.identifier);\nend"
        )

    def _stringcmp(self) -> None:
        self._add(
            f"fprintf('%d %d %d\\n', strcmp({self.text()}, {self.text()}), isempty({self.text()}), any({self.text()}=='a'));"
        )

    def finish(self) -> str:
        """The program, which ends by printing every variable."""
        for name in self.numbers:
            self._add(f"fprintf('{name} %s %s\\n', mat2str({name}, 8), class({name}));")
        for name in self.masks:
            self._add(f"fprintf('{name} %s %s\\n', mat2str({name}), class({name}));")
        for name in sorted(self.texts):
            self._add(f"fprintf('{name} <%s>\\n', {name});")
        for name in self.cells:
            self._add(
                f"fprintf('{name} %d\\n', numel({name})); for q= 1:numel({name}), if ischar({name}{{q}}), disp({name}{{q}}); else, fprintf('%g ', {name}{{q}}); end, end; fprintf('\\n');"
            )
        return "\n".join(self.lines)


def program(seed: int) -> str:
    """The program of this number."""
    made = Program(random.Random(seed))
    for _ in range(made.dice.randint(3, 9)):
        made.statement()
    return made.finish()
