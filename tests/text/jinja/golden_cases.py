"""Small templates over everything the interpreter has, and the variables they see."""

VARIABLES = {
    "a": 1, "b": 2.5, "s": "Hello, World", "u": "Grüße, 世界 🎉", "n": None, "t": True, "f": False,
    "xs": [3, 1, 2], "words": ["banana", "apple", "Cherry", "apple"], "empty": [], "nothing": "",
    "d": {"b": 1, "a": [1, 2, {"x": None}], "name": "Ada", "items": "mine", "Ä": "ö"},
    "people": [{"name": "Bo", "age": 30, "pet": {"kind": "cat"}}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30}],
    "nested": [[1, 2], [3, [4, 5]], []], "pairs": [["k", "v"], ["x", "y"]], "html": "<a href=\"x\">&'</a>",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi\n"},
                 {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello"}, {"role": "tool", "content": "42"}],
    "floats": [0.1, 1e16, 1e-7, 123456789.125, -0.0, 1e22, 5e-324, 1.7976931348623157e308, 100.0],
}

# One template a line; \n stands for itself.
EXPRESSIONS = r'''
1 + 2 * 3 - 4
7 // 2 ~ "," ~ -7 // 2 ~ "," ~ 7 % -3 ~ "," ~ -7 % 3
7.5 // 2 ~ "," ~ -7.5 % 2 ~ "," ~ 2 ** 10 ~ "," ~ 2 ** -1 ~ "," ~ 2 ** 3 ** 2
-2 ** 2
1 / 2
4 / 2
1 / 0
1 // 0
1 % 0
1.0 / 0
1.0 // 0
1.5 % 0
0 ** -1
2 ** 0.5
"a" * 3 ~ 2 * "b" ~ [1] * 2
"a" * -1 ~ "|" ~ (1, 2) * 2
"a" * 1.5
"a" + 1
1 + "a"
"a" + "b" + s
[1] + [2, "x"]
[1] + (2,)
(1,) + (2, 3)
n + "a"
"a" + n
missing + "a"
"a" + missing
missing - 1
missing.x
missing["x"]
missing()
d.missing
d.missing.more
d["missing"].more
n.x
n.x.y
xs.foo
xs["foo"]
xs[10]
xs[10].a
xs[-1] ~ xs[0]
xs["0"]
s[0] ~ s[-1] ~ s[100]
u[7] ~ u[-1]
u | length
d[1].x
d[n].x
d[1.5].x
d[(1, 2)].x
d[[1]].x
xs[1.0].x
a.x.y
a[0].x
t.x.y
b.x.y
"x".y.z
(1, 2).x.y
range(3).x.y
d.items().x.y
xs[1:] ~ xs[:1] ~ xs[::-1] ~ xs[::2] ~ xs[-2:]
s[7:] ~ s[:5] ~ s[::-1] ~ s[-5:-1] ~ s[::3] ~ s[10:2] ~ s[10:2:-2]
u[2:4] ~ u[::-1] ~ u[7:9] ~ u[1::2]
(1, 2, 3)[1:]
range(10)[2:8:2] ~ range(10)[::-1] ~ range(10)[-3:]
range(10)[2:8:2] | list
xs[::0]
xs["a":]
d[1:2]
n[1:2]
a[1:2]
missing[1:2]
not a ~ not n
not not s
a and b
n and b
a or b
n or nothing or "z"
1 < 2 < 3
1 < 2 > 3
3 > 2 >= 2 != 1
1 == 1.0 ~ (True == 1) ~ ("1" == 1)
"a" < "b" ~ ("a" < "B") ~ ("ä" > "z")
[1, 2] < [1, 3] ~ ([1] < [1, 0])
(1, "a") < (1, "b")
1 < "a"
"a" < 1
[1] < (1,)
n < 1
n == none
d < d
missing < 1
1 < missing
missing == missing2
missing == n
missing in [missing]
1 in xs ~ (5 in xs) ~ (5 not in xs)
"ell" in s ~ ("x" in s) ~ ("" in s)
1 in s
n in s
"a" in d ~ ("zz" in d)
[1] in d
1 in a
1 in n
1 in missing
2 in range(3) ~ (3 in range(3)) ~ (1 in range(0, 3, 2)) ~ (1.0 in range(3))
"a" in d.keys() ~ (1 in d.values())
"yes" if a else "no"
"yes" if n
("yes" if n).x
"yes" if n else "maybe" if a else "no"
[1, 2.0, "three", none, true, [4], {"five": 5}, (6,), ()]
{"a": 1, "b": {"c": [1, 2]}, 3: "x", none: 1, 2.5: true}
{"a": 1, "a": 2}
{1: "int", 1.0: "float", true: "bool"}
{[1]: 2}
{(1, 2): 3}[(1, 2)]
[1, 2, 3,] ~ (1, 2,) ~ {"a": 1,}
1, 2, 3
(1)
()
"it's" ~ ["it's", 'say "x"', "it's \"x\""]
["\n\t\r\\\x00\x1f\x7f", "é世🎉", "\u00a0\u200b\ue000"]
"\x41\u00e9\U0001f389\101\7" ~ "\q\z"
"\é\世"
'a' "b" 'c'
"line\
break"
"a\tb\nc"
1_000 ~ 0x1F ~ 0o17 ~ 0b101 ~ 1e3 ~ 1.5e-3 ~ 1_0.5 ~ 00
1e5 ~ "," ~ 1E16 ~ "," ~ 123456789012345.6 ~ "," ~ 1e15 ~ "," ~ .5
3.14159 ~ "," ~ 1e-5 ~ "," ~ 0.0001 ~ "," ~ 1.0 ~ "," ~ -1.5
floats
floats | join(" ")
9223372036854775807
True ~ False ~ None ~ true ~ false ~ none
-5 | abs
-a | abs
+b
-s
+s
-missing
-n
-true
a.real ~ b.is_integer() ~ a.numerator
s.upper() ~ s.lower() ~ s.title() ~ s.capitalize() ~ s.swapcase()
u.upper() ~ u.lower() ~ u.title() ~ u.swapcase()
"ß ŉ ǆ ﬁ İ".upper()
"ß ŉ ǆ ﬁ É".title()
"ǆ".capitalize() ~ "ÀÉ".lower()
"they're bill's".title() ~ ("they're bill's" | title)
"  x y  ".strip() ~ "|" ~ "  x ".lstrip() ~ "|" ~ " x  ".rstrip() ~ "|"
"xxaxbxx".strip("x") ~ "abcba".lstrip("ab") ~ "abcba".rstrip("ab") ~ "ééaé".strip("é")
"\u3000\xa0x\u2003".strip() ~ "|"
s.strip(1)
"a,b,,c".split(",")
"a,b,,c".split(",", 1) ~ "a,b,,c".rsplit(",", 1)
" a  b   c ".split() ~ " a  b   c ".split(none, 1) ~ " a  b   c ".rsplit(none, 1)
" a  b   c ".split(maxsplit=1)
"a<>b<>c".split("<>")[-1]
"abc".split("")
"".split() ~ "".split(",")
"a b".split(1)
"aaa".split("aa") ~ "aaa".rsplit("aa")
"a\nb\r\nc\rd\x0be\x0cf\x1cg\x85h\u2028i\n".splitlines()
"a\nb\r\nc".splitlines(true)
"".splitlines()
s.startswith("Hell") ~ s.endswith("ld") ~ s.startswith(("x", "H")) ~ s.startswith("World", 7) ~ s.endswith("Hello", 0, 5)
s.startswith(1)
s.startswith(["H"])
s.find("o") ~ s.find("o", 5) ~ s.find("zz") ~ s.rfind("o") ~ s.index("W") ~ u.find("世") ~ u.rfind("e")
s.index("zz")
s.count("l") ~ s.count("") ~ "aaaa".count("aa") ~ s.count("l", 4)
s.replace("l", "L") ~ s.replace("l", "L", 1) ~ "abc".replace("", "-") ~ "abc".replace("", "-", 2)
"aXbX".replace("X", "")
s.replace("l")
s.replace("l", 1)
"-".join(["a", "b"]) ~ "".join([]) ~ ", ".join("abc") ~ "-".join(d)
"-".join([1])
"-".join(1)
"%s-%d" % ("a", 3)
"%5.2f|%-5s|%05d|%+d|%x|%X|%o|%e|%g|%%" % (3.14159, "ab", 42, 5, 255, 255, 8, 12345.678, 0.0001)
"%s" % "x" ~ "%s" % 1 ~ "%r" % "x" ~ "%s" % n
"%(a)s %(b)d" % {"a": "x", "b": 2}
"%s %s" % ("a",)
"%s" % ("a", "b")
"%d" % "x"
"%y" % 1
"%s %s" % "a"
"abc" % 1
"abc" % {} ~ "abc" % []
"%*d|%-*d" % (5, 42, 5, 42)
"%.3s|%10.3s|%c" % ("abcdef", "abcdef", "x")
"%.3s|%10.3s" % ("abcdef", "abcdef")
"{} {}".format("a", 1) ~ "{1} {0}".format("a", "b") ~ "{x}".format(x=1) ~ "{{}}".format()
"{0[a]} {0.b} {1[0]}".format({"a": 1, "b": 2}, [5])
"{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:,}|{:.2f}|{:x}|{:#x}|{:b}|{:%}|{:e}".format("a", "b", "c", "d", 42, 1234567, 3.14159, 255, 255, 5, 0.25, 1234.5)
"{!r} {!s}".format("a", "b") ~ "{:.2}".format("abc") ~ "{:{}}".format("a", 4) ~ "|"
"{}".format()
"{x}".format()
"{0} {}".format(1, 2)
"{".format()
"}".format()
"{:d}".format("a")
"a".center(5, "*") ~ "ab".center(5) ~ "|" ~ "a".ljust(3) ~ "|" ~ "a".rjust(3, "é") ~ "-5".zfill(4) ~ "é".zfill(3)
"a-b-c".partition("-") ~ "a-b-c".rpartition("-") ~ "abc".partition("-") ~ "abc".rpartition("-")
"prefix".removeprefix("pre") ~ "suffix".removesuffix("fix") ~ "abc".removeprefix("x")
"abc1".isalnum() ~ "abc".isalpha() ~ "12".isdigit() ~ "²".isdigit() ~ "½".isnumeric() ~ "²".isdecimal() ~ " \t".isspace() ~ "".isspace()
"abc".islower() ~ "ABC".isupper() ~ "Abc Def".istitle() ~ "ǅ".isupper() ~ "a1".islower() ~ "1".islower() ~ "aé".isascii() ~ "a\n".isprintable()
"a\tb".expandtabs(4) ~ "a\tb".expandtabs()
s.nope
s.nope()
s()
a()
n()
d.name()
d.get("b") ~ d.get("zz") ~ d.get("zz", 5)
d.get()
d.get([1])
d.keys() ~ d.values()
d.items()
d["items"] ~ d.name
d.keys() | list ~ d.values() | list | length
d.items() | list
d | items | list
d.copy() == d
{"update": 1}.update
{"update": 1}["update"]
{"a": 1}.update({"b": 2})
{"a": 1}.pop("a")
xs.append(4)
xs.append
xs.pop()
xs.sort()
xs.reverse()
xs.index(1) ~ xs.count(1) ~ (1, 2).index(2) ~ (1, 1).count(1)
xs.index(9)
(1,).index(9)
xs.copy()
xs.__class__
xs.__class__()
xs._private
s.__len__
d.__class__.__mro__
missing.__class__
range(3) ~ range(1, 3) ~ range(0, 10, 3)
range(5) | list ~ range(5, 0, -2) | list
range(0)
range()
range("a")
range(1.0)
range(1, 2, 0)
range(100001)
range(1, 2, 3, 4)
range(3) == range(0, 3) ~ (range(0) == range(2, 1))
dict(a=1, b=2) ~ dict({"a": 1}, b=2) ~ dict([["a", 1], ("b", 2)]) ~ dict()
dict(1)
dict([1])
dict(["abc"])
dict({"a": 1}, {"b": 2})
namespace(a=1)
namespace({"a": 1}, b=2)
namespace(a=1).a
namespace(a=1).b
namespace(a=1).b.c
namespace(a=1)["a"]
cycler("a", "b").next()
cycler()
joiner(", ")() ~ "|"
strftime_now("%Y-%m-%d %H:%M:%S %A %B %j %p %y %%")
strftime_now("%d %b %Y")
strftime_now("%f %z|%Z|")
strftime_now("")
strftime_now(1)
raise_exception("No: " ~ a)
raise_exception("")
raise_exception()
raise_exception("a", "b")
raise_exception(message="kw")
s | upper ~ s | lower ~ s | title ~ s | capitalize
1 | upper ~ n | upper ~ xs | upper
missing | upper ~ "|"
"  x " | trim ~ "|" ~ "xxaxx" | trim("x") ~ n | trim
1 | trim ~ missing | trim
"hello world-foo (bar) [baz]" | title
"x" | trim(1)
xs | length ~ s | length ~ d | length ~ missing | length ~ empty | count
1 | length
n | length
xs | first ~ xs | last ~ s | first ~ s | last ~ d | first ~ d | last
empty | first ~ "|" ~ empty | last
(empty | first).x
(empty | last).x
n | first
n | last
1 | last
xs | join ~ xs | join(", ") ~ s | join("-") ~ people | join(", ", attribute="name") ~ d | join(",")
xs | join(1) ~ [1, none, true, "x"] | join("|") ~ missing | join
1 | join
n | join(",")
people | join("/", "age")
xs | sort ~ xs | sort(reverse=true) ~ words | sort ~ words | sort(case_sensitive=true) ~ words | sort(true)
people | sort(attribute="age") | map(attribute="name") | list
people | sort(attribute="age,name", reverse=true) | map(attribute="name") | list
[1, "a"] | sort
["a", 1] | sort
[1, none] | sort
[[2, 1], [1, 2]] | sort
1 | sort
people | sort(attribute="pet.kind")
[3, 1.5, true, 2] | sort
range(200) | map("string") | sort | join(",")
words | unique | list ~ words | unique(true) | list ~ [1, 1.0, true, 2] | unique | list
people | unique(attribute="age") | map(attribute="name") | list
[[1]] | unique | list
xs | min ~ xs | max ~ words | min ~ words | max ~ words | max(case_sensitive=true)
people | min(attribute="age")
empty | min ~ "|"
(empty | max).x
[1, "a"] | max
[1, "a"] | min
xs | sum ~ [0.1, 0.2] | sum ~ people | sum("age") ~ people | sum(attribute="age", start=100)
["a"] | sum
words | sum(start="")
[[1], [2]] | sum(start=[])
xs | reverse | list ~ s | reverse ~ u | reverse ~ d | reverse | list ~ range(3) | reverse | list
1 | reverse
n | reverse
xs | list ~ s | list ~ d | list ~ missing | list
u | list
1 | list
range(7) | batch(3) | list ~ range(7) | batch(3, "x") | list
range(7) | slice(3) | list ~ range(7) | slice(3, "x") | list ~ range(2) | slice(3) | list
range(7) | slice(0) | list
range(7) | batch(0) | list
range(3) | batch | list
people | groupby("age")
people | groupby("age") | map(attribute="grouper") | list
(people | groupby("age"))[0].list | length
words | groupby(0)
people | groupby("pet.kind", default="none") | map("first") | list
d | dictsort
{"b": 1, "A": 2, "c": 0} | dictsort ~ {"b": 1, "A": 2} | dictsort(true) ~ {"b": 1, "A": 2} | dictsort(by="value") ~ {"b": 1, "A": 2} | dictsort(reverse=true)
{"b": 1} | dictsort(by="x")
xs | dictsort
n | items | list
missing | items | list
xs | items | list
people | map(attribute="name") | list ~ people | map(attribute="pet.kind") | list
people | map(attribute="pet", default="-") | list
people | map("length") | list ~ words | map("upper") | join(",") ~ words | map("replace", "a", "4") | list
people | map(attribute="pet.kind", default="none") | list
xs | map | list
xs | map("nope") | list
xs | map(nope) | list
xs | map(attribute="x", foo=1) | list
xs | map(1) | list
missing | map("upper") | list
n | map("upper") | list
1 | map("upper") | list
nested | map("first") | list
pairs | map("last") | join
xs | select("odd") | list ~ xs | reject("odd") | list ~ xs | select | list ~ [0, 1, "", "x"] | select | list ~ [0, 1] | reject | list
xs | select(">", 1) | list ~ xs | select("in", [1, 3]) | list ~ xs | reject("equalto", 2) | list
xs | select("nope") | list
people | selectattr("pet") | map(attribute="name") | list ~ people | rejectattr("pet") | map(attribute="name") | list
people | selectattr("age", ">=", 30) | map(attribute="name") | list ~ messages | selectattr("role", "equalto", "user") | list
people | selectattr("pet", "defined") | list | length ~ people | rejectattr("pet", "undefined") | list | length
people | selectattr | list
messages | selectattr("role", "in", ["user", "tool"]) | map(attribute="content") | join("|")
xs | select("odd") | length
(xs | select("odd")) is sequence
(xs | select("odd")) is iterable
xs | map("string") | first
xs | map("string") | last
"42" | int ~ "42.7" | int ~ "x" | int ~ "x" | int(7) ~ 3.9 | int ~ -3.9 | int ~ true | int ~ n | int ~ xs | int(-1)
"0x1F" | int(base=16) ~ "ff" | int(0, 16) ~ "0b11" | int(base=2) ~ "0o17" | int(base=0) ~ "z" | int(base=36) ~ " 12 " | int ~ "1_000" | int ~ "_1" | int ~ "+5" | int ~ "1e3" | int ~ "inf" | int ~ "nan" | int
missing | int
"1.5" | float ~ "x" | float ~ "x" | float(2.5) ~ 3 | float ~ "1e3" | float ~ " -2.5 " | float ~ n | float ~ "1_0.5" | float ~ ".5" | float ~ "5." | float ~ "e5" | float
missing | float
-5 | abs ~ 2.5 | abs ~ true | abs
"x" | abs
missing | abs
2.5 | round ~ 3.5 | round ~ 2.675 | round(2) ~ 2.34 | round(1) ~ 42 | round ~ 1234.5 | round(-2) ~ 15 | round(-1) ~ 25 | round(-1)
42.55 | round(1, "floor") ~ 42.55 | round(1, "ceil") ~ 42.1 | round(method="ceil") ~ 42.9 | round(0, "floor") ~ 42 | round(0, "floor")
2.5 | round(method="x")
"x" | round
missing | round
1.005 | round(2) ~ 0.5 | round ~ 1.5 | round ~ -0.5 | round ~ 1e20 | round ~ 123.456 | round(-1)
s | replace("World", "You") ~ "aaa" | replace("a", "b", 2) ~ 121 | replace(1, 3) ~ n | replace("o", "0")
s | replace("x")
s | replace
s | replace("l", "L", count=1) ~ s | replace(old="l", new="L")
s | replace("a", "b", 1, 2)
s | replace("a", "b", foo=1)
s | replace("a", "b", old="c")
missing | default("x") ~ n | default("x") ~ n | default("x", true) ~ "" | d("x", true) ~ "" | d("x") ~ missing | d ~ 0 | default(5, boolean=true)
missing.x | default("x")
d.missing | default("x") ~ d["missing"] | d("y")
html | escape ~ html | e ~ (html | safe) ~ (html | escape | escape) ~ (html | forceescape | forceescape)
(html | safe) + "<b>" ~ ("<b>" + (html | safe))
("<" | safe) ~ "<"
[("x" | safe)]
("x" | safe) is string ~ (("x" | safe) is escaped) ~ ("x" is escaped)
("<a>" | safe | upper) + "<" ~ (("<a>" | safe)[1:] + "<") ~ (("<%s>" | safe) | string)
("a<b" | safe).replace("<", "<<") ~ ("," | safe).join(["<", ">"]) ~ ("a b" | safe).split()
("x" | safe) * 2 ~ (("x" | safe) == "x") ~ (("x" | safe) in "xyz")
("<i>" | e).startswith("&lt;") ~ ("x" | safe).foo.bar
"a\nb\n\nc" | indent ~ "|" ~ "a\nb\n\nc" | indent(2, true) ~ "|" ~ "a\nb\n\nc" | indent(2, blank=true) ~ "|" ~ "a\nb" | indent(">> ") ~ "|" ~ "" | indent ~ "a\n" | indent ~ "|"
1 | indent
n | indent
missing | indent
"foo bar baz qux" | truncate(9) ~ "|" ~ "foo bar baz qux" | truncate(9, true) ~ "|" ~ "foo bar baz qux" | truncate(11) ~ "|" ~ "foo bar baz qux" | truncate(11, false, "...", 0) ~ "|" ~ "foo bar baz qux" | truncate(5, end="…", leeway=0)
"foo" | truncate(2)
"foo" | truncate(9, leeway=-1)
"foo bar-baz's 世界 x_1" | wordcount ~ "" | wordcount
"%s, %s!" | format("a", "b") ~ "%(x)s" | format(x=1) ~ "%d%%" | format(50)
"%s" | format("a", x=1)
"%s" | format
"x" | center(5) ~ "|"
people | attr("name") ~ s | attr("nope") ~ (d | attr("name"))
(d | attr("name")).x
1 | string ~ n | string ~ xs | string ~ missing | string ~ 1.0 | string
xs | tojson ~ d | tojson ~ s | tojson ~ n | tojson ~ t | tojson ~ b | tojson ~ (1, 2) | tojson
html | tojson ~ u | tojson ~ u | tojson(ensure_ascii=true) ~ "\x00\x1f\x7f\"\\/\b\f\n\r\t\u2028" | tojson
d | tojson(indent=2)
d | tojson(indent=0)
nested | tojson(indent=4) ~ {} | tojson(indent=2) ~ [] | tojson(indent=2) ~ {"a": {}} | tojson(indent=1)
d | tojson(sort_keys=true)
d | tojson(separators=(",", ":"))
d | tojson(indent=2, separators=(",", ": "))
nested | tojson(indent="--")
{"b": 1, "a": {"d": 1, "c": 2}} | tojson(sort_keys=true, indent=1)
{1: "a", none: "b", true: "c", 2.5: "d"} | tojson
{(1, 2): 3} | tojson
{1: 2, "a": 3} | tojson(sort_keys=true)
missing | tojson
{"a": missing} | tojson
namespace(a=1) | tojson
range(3) | tojson
(xs | map("string")) | tojson
floats | tojson
d.items() | list | tojson
xs | tojson(1, 2, 3, 4, 5)
xs | tojson(foo=1)
xs | nope
xs | nope.nope
xs | filesizeformat(1, 2, 3)
xs is nope
a is defined ~ (missing is defined) ~ (missing is undefined) ~ (d.x is defined) ~ (d.b is defined) ~ (d.items is defined)
missing.x is defined
a is number ~ (s is number) ~ (t is number) ~ (b is number) ~ (n is number)
a is integer ~ (t is integer) ~ (b is integer) ~ (a is float) ~ (b is float) ~ (t is boolean) ~ (a is boolean)
s is string ~ (a is string) ~ (n is string)
d is mapping ~ (xs is mapping) ~ (namespace() is mapping)
xs is sequence ~ (s is sequence) ~ (d is sequence) ~ (a is sequence) ~ (n is sequence) ~ (missing is sequence) ~ (range(3) is sequence) ~ (d.keys() is sequence)
xs is iterable ~ (s is iterable) ~ (d is iterable) ~ (a is iterable) ~ (n is iterable) ~ (missing is iterable) ~ (d.items() is iterable)
range is callable ~ (s is callable) ~ (s.upper is callable) ~ (missing is callable)
t is true ~ (f is false) ~ (1 is true) ~ (0 is false) ~ (n is none) ~ (missing is none) ~ (f is none)
a is odd ~ (a is even) ~ (a is divisibleby 1) ~ (6 is divisibleby(3)) ~ (b is odd)
s is odd
missing is odd
n is even
xs is divisibleby 2
1 is divisibleby 0
a is sameas 1 if false else n is sameas none
t is sameas true ~ (d is sameas d) ~ (xs is sameas xs[:])
a is eq 1 ~ (a is equalto(1)) ~ (a is ne 2) ~ (a is lt 2) ~ (a is lessthan 0) ~ (a is gt 0) ~ (a is ge 1) ~ (a is le 0) ~ (a is greaterthan 5)
a is in [1, 2] ~ (a is in xs) ~ ("a" is in "abc") ~ (a is not in [2])
s is lower ~ ("abc" is lower) ~ ("ABC" is upper) ~ (1 is upper) ~ (n is lower)
"upper" is filter ~ ("nope" is filter) ~ ("odd" is test) ~ ("nope" is test)
a is not none ~ (a is not defined) ~ not a is defined
a is defined and b is number or false
a is gt 0 and a is lt 2
a is divisibleby 2 or true
a is eq n
a is defined is defined
a is divisibleby
a is divisibleby 1, 2
xs is in
s is string(1)
a + 1 is number
a ~ 1 is string
a == 1 is true
-a is number
a | abs is number
[a, b][0] ~ {"k": [1, {"z": 2}]}.k[1].z ~ (1, (2, 3))[1][0]
d.a[2].x ~ d["a"][-1]["x"] ~ people[0].pet.kind ~ people.0.name
people[0]["pet"]["kind"].upper()[0:2]
xs[a] ~ xs[t] ~ s[a:]
"x".join(people | map(attribute="name"))
messages | map(attribute="content") | map("length") | list
messages[1:] | selectattr("role", "ne", "tool") | map(attribute="role") | join(",")
messages[2].content.split("</think>")[-1].lstrip("\n") ~ messages[2].content.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
range(3) | map("string") | map("upper") | join
"%c%c|%3c" % ("é", 19990, "x")
"%c" % "xy"
"%c" % 1114112
loop
caller
'''


STATEMENTS = [
    "plain text", "", "\n", "a\n", "a\n\n", "a\r\nb\rc\r\n", "{{ a }}\n", "{{ a }}\n\nx", "{ { a } }", "{{ '}}' }}", "{{ '{{' }}",
    "x {# comment #} y", "x\n{# c #}\ny", "x\n  {# c #}\ny", "x {#- c -#} y", "x\n {#- c\nd -#}\n y", "{# a {# b #} c #}", "x {#+ c +#}\ny",
    "{#-#}x", "{##}x", "{# unclosed", "{% raw %}{{ a }}{% if %}{% endraw %}", "x\n  {% raw %}\n  {{ a }}\n  {% endraw %}\ny",
    "x {%- raw -%} {{ a }} {%- endraw -%} y", "{% raw %}unclosed", "{%raw%}{%  endraw  %}", "{% raw -%}  x  {%+ endraw +%}\ny",
    "  {% if a %}\n  x\n  {% endif %}\ny", "  {%+ if a %}\n  x\n  {%+ endif +%}\ny", "a {% if a %} b {% endif %} c",
    "a {%- if a -%} b {%- endif -%} c", "a\n\n{%- if a -%}\n\n b \n{%- endif %}\n\nc", "\t {% if a %}\t x{% endif %}", "x{% if a %}\n\ny{% endif %}",
    "x  {{- a -}}  y", "x\n {{- a -}}\n y", "x {{+ a }} y", "x {{ a +}} y", "{{-a}}", "{{ -a }}", "{{ a-}}x", "{%if a%}x{%endif%}",
    "line\n   {% set x = 1 %}   \nnext", "line\n   {% set x = 1 -%}   \nnext", "line {{ a }}\n   {{ a }}\n", "\u3000{%- if a %}x{% endif %}",
    "{{ a }}\u00a0\n {% if a %}x{% endif %}", "\x0b{% if a %}x{% endif %}",
    "{% if a %}A{% elif b %}B{% else %}C{% endif %}", "{% if n %}A{% elif b %}B{% else %}C{% endif %}", "{% if n %}A{% elif f %}B{% else %}C{% endif %}",
    "{% if missing %}A{% endif %}.", "{% if missing.x %}A{% endif %}", "{% if a: %}x{% endif %}", "{% if 1, 2 %}x{% endif %}",
    "{% if xs and not empty %}x{% endif %}", "{% if a %}{% if n %}1{% else %}2{% endif %}{% endif %}",
    "{% for x in xs %}{{ x }},{% endfor %}", "{% for x in empty %}{{ x }}{% else %}none{% endfor %}", "{% for x in missing %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in n %}{% endfor %}", "{% for x in a %}{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for k in d %}{{ k }} {% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d | items %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d | dictsort %}{{ k }};{% endfor %}",
    "{% for (a, b) in pairs %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in xs %}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ a }}-{{ b }} {% endfor %}", "{% for a, in [[1]] %}{{ a }}{% endfor %}",
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in xs %}{{ loop.previtem.x.y }}{% endfor %}", "{% for x in xs %}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for x in xs %}{% if loop.last %}{{ loop.nextitem.x }}{% endif %}{% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in xs %}{{ loop.cycle() }}{% endfor %}", "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }},{% endfor %}",
    "{% for x in xs | select('odd') %}{{ loop.index }}/{{ loop.length }}:{{ loop.last }} {% endfor %}", "{% for x in xs if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ loop.last }} {% endfor %}",
    "{% for x in xs if x > 9 %}x{% else %}none{% endfor %}", "{% for x in xs if y %}x{% else %}none{% endfor %}", "{% for k, v in pairs if v != 'y' %}{{ k }}{% endfor %}",
    "{% for x in xs if loop.index %}{{ x }}{% endfor %}", "{% for x in xs %}{% for y in xs if y > x %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{{ loop.index }}{% endfor %}-{{ loop.index }} {% endfor %}", "{% for x in xs %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in xs %}{% break %}{% else %}else{% endfor %}", "{% for x in xs %}{% continue %}{% else %}else{% endfor %}", "{% for x in xs %}{% if x == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}",
    "{% for x in xs %}{% with y = x %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endwith %}{% endfor %}", "{% for x in xs %}{% set z %}{% if x == 1 %}{% continue %}{% endif %}v{% endset %}{{ z }}{{ x }}{% endfor %}",
    "{% for x in xs %}{{ x }}{% endfor %}{{ x }}", "{% for x in xs %}{% set y = x %}{% endfor %}{{ y is defined }}", "{% set y = 0 %}{% for x in xs %}{% set y = y + x %}{{ y }},{% endfor %}{{ y }}",
    "{% set ns = namespace(y=0) %}{% for x in xs %}{% set ns.y = ns.y + x %}{% endfor %}{{ ns.y }}", "{% set ns = namespace() %}{% set ns.a.b = 1 %}", "{% set d.x = 1 %}", "{% set q.x = 1 %}", "{% set n.x = 1 %}",
    "{% set ns = namespace(found=false, items=[]) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% set ns.items = ns.items + [m.content] %}{% endif %}{% endfor %}{{ ns.found }}{{ ns.items }}",
    "{% set ns = namespace(a=1) %}{% set ns.a, x = 2, 3 %}{{ ns.a }}{{ x }}{{ ns }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set (x, y) = pairs[0] %}{{ x }}{{ y }}", "{% set x, y = 1 %}", "{% set x = 1, 2 %}{{ x }}", "{% set x, y = [1, 2, 3] %}",
    "{% set x %}block {{ a }}{% endset %}[{{ x }}]", "{% set x | upper | trim %} block {{ a }} {% endset %}[{{ x }}]", "{% set x | replace('b', 'c') %}abc{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}",
    "{% if a %}{% set x = 1 %}{% endif %}{{ x }}", "{% if n %}{% set a = 5 %}{% endif %}{{ a }}", "{% if n %}{% set zz = 5 %}{% endif %}{{ zz }}|", "{% set a = a + 1 %}{{ a }}", "{% for i in [1] %}{{ a }}{% endfor %}{% set a = 5 %}{{ a }}", "{% for i in [1] %}{{ a }}{% set a = 7 %}{{ a }}{% endfor %}{{ a }}",
    "{% for i in [1, 2] %}{{ v }}{% set v = i %}{{ v }}{% endfor %}", "{% for i in [1, 2] %}{% if i == 2 %}{{ w }}{% endif %}{% set w = i %}{% endfor %}", "{% set a = 3 %}{% for i in [1, 2] %}{% if i == 2 %}{% set a = i %}{% endif %}{{ a }}{% endfor %}{{ a }}",
    "{% set 1 = 2 %}", "{% set x.y.z = 1 %}", "{% set x[0] = 1 %}", "{% set none = 1 %}", "{% set (a, 1) = 2 %}", "{% set [a, b] = pairs[0] %}", "{% set %}", "{% set x %}", "{% set x = %}", "{% set x y %}",
    "{% set i = 'inf' %}{% set m = 'nan' %}{{ i | float }}{{ [i | float, m | float] | tojson }}{{ -(i | float) }}{{ (i | float) | int }}",
    "{% for loop in xs %}{% endfor %}", "{% for x in xs %}{% set loop = 1 %}{% endfor %}", "{% for x.y in xs %}{% endfor %}", "{% for 1 in xs %}{% endfor %}", "{% for x of xs %}{% endfor %}", "{% for x in %}{% endfor %}", "{% for x in xs %}",
    "{% with x = 1, y = a %}{{ x }}{{ y }}{% endwith %}{{ x }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% with a = 5, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with x, y = pairs[0] %}{{ x }}{% endwith %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b') | trim %} aXa {% endfilter %}|", "{% filter upper %}{% set inner = 1 %}{% endfilter %}{{ inner }}", "{% filter nope %}x{% endfilter %}", "{% filter indent(2, true) %}a\nb{% endfilter %}",
    "{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(1) }}{{ m('a') }}", "{% macro m(x, y=2, z=x) %}{{ x }}{{ y }}{{ z }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, z=5) }} {{ m(y=1, x=2) }}",
    "{% macro m(x) %}{{ x is defined }}{{ x }}{% endmacro %}{{ m() }}", "{% macro m(x) %}{{ x.y }}{% endmacro %}{{ m() }}", "{% macro m(x) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(x) %}{% endmacro %}{{ m(y=1) }}", "{% macro m(x) %}{% endmacro %}{{ m(1, x=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, a=3) }}", "{% macro m(x) %}{{ x }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, a=3) }}{{ m() }}", "{% macro m(x, y=1, z) %}{% endmacro %}", "{% macro m(x, x) %}{% endmacro %}", "{% macro m(1) %}{% endmacro %}",
    "{% macro m(n) %}{% if n > 0 %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro a1() %}{{ b1() }}{% endmacro %}{% macro b1() %}b{% endmacro %}{{ a1() }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m() %}{{ later }}{% endmacro %}{% set later = 5 %}{{ m() }}",
    "{% macro m() %}{% set a = 9 %}{{ a }}{% endmacro %}{{ m() }}{{ a }}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller(1, y=2) }}{% endmacro %}{% call(x, y=5, z=6) m() %}{{ x }}{{ y }}{{ z }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}", "{% macro m(caller) %}{{ caller() }}{% endmacro %}", "{% macro m(caller=none) %}{% if caller %}{{ caller() }}{% else %}no{% endif %}{% endmacro %}{{ m() }}{% call m() %}yes{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% for x in xs %}{% call m() %}{{ x }}{{ loop.index }}{% endcall %}{% endfor %}", "{% call m %}x{% endcall %}", "{% call missing() %}x{% endcall %}", "{% call(x) s.upper() %}x{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(x) m() %}{% endcall %}", "{% macro m() %}{{ caller(q=2) }}{% endmacro %}{% call(x) m() %}{% endcall %}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}{{ m is callable }}{{ m.foo.bar }}", "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) | length }}{{ m(1) is string }}{{ m(1) ~ m(2) }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'x': 2}) }}", "{% macro m(x, y) %}{{ x }}{{ y }}{% endmacro %}{{ m(*xs[:1], **{'y': 2}) }}",
    "{{ s.replace(*['l', 'L']) }}", "{{ dict(**{'a': 1}) }}", "{{ dict(a=1, **{'a': 1}) }}", "{{ dict(**1) }}", "{{ m(x=1, x=2) }}", "{{ m(x=1, 2) }}", "{{ m(**x, y) }}", "{{ dict(a=1,) }}", "{{ range(*[1, 3]) | list }}",
    "{% for x in nested recursive %}[{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}@{{ loop.depth }}{% endif %}]{% endfor %}", "{% for x in nested %}{{ loop(x) }}{% endfor %}", "{% for x in xs recursive %}{{ x }}{% else %}e{% endfor %}", "{% for x in [[], [[]]] recursive %}({{ loop(x) }}){% else %}-{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% do %}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}{{ c.foo.bar }}", "{% set j = joiner('|') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}", "{% set j = joiner() %}{{ j() }}a{{ j() }}b",
    "{% generation %}x{{ a }}{% endgeneration %}y", "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ loop.index }}{% endgeneration %}{% endif %}{% endfor %}", "{% generation %}{% set g = 1 %}{{ g }}{% endgeneration %}{{ g is defined }}", "{% generation %}x", "{% for x in xs %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
    "{% print a, 'x' %}", "{% print %}", "{% break %}", "{% continue %}", "{% nope %}", "{% endif %}", "{% endfor %}", "{% if a %}{% endfor %}{% endif %}", "{% if a %}", "{% for x in xs %}{% if x %}{% endfor %}", "{% if a %}{% else %}", "{% macro m() %}{% nope %}{% endmacro %}", "{% %}", "{% 1 %}", "{{ }}", "{{ a", "{{ a b }}", "{{ a. }}", "{{ a.1.b }}", "{{ a[ }}", "{{ (a }}", "{{ a) }}", "{{ [a) }}", "{{ 'abc }}", "{{ a ! b }}", "{{ a & b }}", "{{ a @ b }}", "{{ a ? b }}", "{{ $a }}", "{{ a = b }}", "{{ a == }}", "{{ == a }}", "{{ a | }}", "{{ a | 1 }}", "{{ a is }}", "{{ a is 1 }}", "{{ not }}", "{{ a if }}", "{{ a if b else }}", "{{ {1} }}", "{{ {1: } }}", "{{ [1 2] }}", "{{ a ~ }}", "{{ -}}", "{{ a..b }}", "{{ 1..2 }}", "{{ a.b.c() }}", "{{ '\\x4' }}", "{{ '\\u12' }}", "{{ '\\U0011ffff' }}", "{{ 01 }}", "{{ 1a }}", "{% if a %}x{% endif a %}", "{% for x in xs %}x{% endfor x %}", "{% if a = 1 %}{% endif %}", "{{ a; b }}", "{{ lambda }}", "{{ a.b = 1 }}", "{% if %}x{% endif %}", "{% elif %}", "{% else %}", "{% set x = 1 %}{{ x }}}}", "}} %} #}", "{{ '%}' }}{% set y = '}}' %}{{ y }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {}} }}", "{{{'a': 1}}}", "{{ { 'a': 1 }['a'] }}",
    "{% if a %}{{ a | nope }}{% endif %}", "{% if n %}{{ a | nope }}{% endif %}ok", "{{ a if a else a | nope }}", "{{ (a | nope) if n else 1 }}", "{% if n %}{{ a is nope }}{% endif %}ok", "{% if n %}{% for x in xs %}{{ x | nope }}{% endfor %}{% endif %}", "{% if a is nope %}{% endif %}", "{% for x in xs | nope %}{% endfor %}", "{% set x = a | nope %}",
    "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' ~ m['content'] | trim }}\n{% endfor %}", "{%- for m in messages -%}\n  {%- if loop.first and m.role != 'system' -%}\n    {{ raise_exception('x') }}\n  {%- endif %}\n  {{- m.role }}: {{ m.content | trim -}}\n{%- endfor -%}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% endfor %}",
    "{% set ns = namespace(i=0) %}{% for m in messages[::-1] %}{% set ns.i = ns.i + loop.index0 %}{% if m.content is string and not (m.content.startswith('<t') and m.content.endswith('>')) %}{{ ns.i }}{% endif %}{% endfor %}",
    "{%- macro render(x, level=0) -%}{%- if x is mapping -%}{ {%- for k, v in x.items() -%}{{ k }}:{{ render(v, level + 1) }}{{ ', ' if not loop.last }}{%- endfor -%} }{%- elif x is sequence and x is not string -%}[{%- for i in x -%}{{ render(i, level + 1) }}{{ ',' if not loop.last else '' }}{%- endfor -%}]{%- else -%}{{ x }}@{{ level }}{%- endif -%}{%- endmacro -%}{{ render({'a': [1, {'b': none}], 'c': 'x'}) }}",
    "{% set x = xs | map('string') %}{{ x | join }}{{ x | join }}|", "{% set g = xs | map('nope') %}ok", "{% set ns = namespace(n=2) %}{% set g = xs | select('gt', ns.n) %}{% set ns.n = 0 %}{{ g | list }}",
    "{{ xs | map('upper') | map('nope') | first }}", "{% set a, b = b, a %}{{ a }}{{ b }}", "{% set x = 5 %}{% macro m(y=x) %}{{ y }}{% endmacro %}{% set x = 6 %}{{ m() }}", "{{ loop.index }}", "{% if loop is defined %}x{% endif %}-",
    "{% set namespace = 5 %}{{ namespace }}", "{% set range = 5 %}{{ range }}", "{{ xs | sort | first }}\n{{ missing.foo }}", "line1\nline2\n{{ 1 + 'a' }}", "{% for x in xs %}\n{{ x }}\n{% endfor %}", "{% for x in xs -%}\n{{ x }}\n{%- endfor %}", "  {% for x in xs %}  \n  {{ x }}\n  {% endfor %}  \n", "{% if a %}\n\n{% endif %}\n\n.", "a{% if a %}\n{% endif %}\nb",
    "{% macro kw(class=1, for_=2) %}{{ class }}{{ for_ }}{% endmacro %}{{ kw(for_=3) }}", "{{ dict(class=1)['class'] }}", "{{ 'a' 'b' ~ 'c' }}", "{{ xs.0 }}{{ d.a.2.x }}", "{{ a.__init__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ s.format.__globals__ }}", "{{ xs.__add__([1]) }}", "{{ '{0.__class__}'.format(s) }}", "{{ '{0.__class__.__mro__}'.format(s) }}",
    "{% autoescape true %}x", "{{ super() }}", "{% do xs.append(1) %}", "{% trans %}x{% endtrans %}",
    "{{ 1 if true }}{{ 2 if false }}", "{{ [x for x in xs] }}", "{{ 'a' if a == 1 and (b > 2 or n) else 'z' }}", "{{ (1, 2) == (1, 2) }}{{ [1] == (1,) }}{{ {'a': 1} == {'a': 1.0} }}", "{{ 1 in [1.0] }}{{ none in [none] }}{{ true in [1] }}", "{{ [1, [2, [3]]] == [1, [2, [3]]] }}", "{{ nested == nested[:] }}",
]

# Of things that read differently with other variables.
CHAT = r'''{%- if messages[0]['role'] == 'system' -%}
    {%- set system_message = messages[0]['content'] | trim + '\n\n' -%}
    {%- set messages = messages[1:] -%}
{%- else -%}
    {%- set system_message = '' -%}
{%- endif -%}
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Conversation roles must alternate') }}
    {%- endif -%}
    {%- if loop.index0 == 0 -%}{%- set content = system_message + message['content'] -%}
    {%- else -%}{%- set content = message['content'] -%}{%- endif -%}
    {%- if message['role'] == 'user' -%}
        {{ bos_token + '[INST] ' + content | trim + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' -%}
        {%- if message.tool_calls is defined and message.tool_calls is not none -%}
            {%- for call in message.tool_calls -%}
                {{ call.function | tojson(indent=2) }}{{ "," if not loop.last }}
            {%- endfor -%}
        {%- endif -%}
        {{ ' ' + content | trim + ' ' + eos_token }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt is defined and add_generation_prompt -%}>{%- endif -%}
'''


def chat_cases():
    user, bot = {"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Yo\n"}
    call = dict(bot, tool_calls=[{"function": {"name": "f", "arguments": {"x": [1, "ü"], "y": {}}}},
                                 {"function": {"name": "g", "arguments": []}}])
    system = {"role": "system", "content": "S"}
    for messages in ([user], [user, bot], [system, user, bot, user], [system], [bot], [user, user], [user, call, user],
                     [user, dict(bot, tool_calls=None)], [], [user, {"role": "assistant"}], [{"content": "x"}],
                     [user, {"role": "assistant", "content": None}], [user, {"role": "assistant", "content": ["a"]}]):
        for extra in ({}, {"add_generation_prompt": True}):
            yield CHAT, {"messages": messages, "bos_token": "<s>", "eos_token": "</s>", **extra}


def all_cases():
    for line in EXPRESSIONS.replace("line\\\nbreak", "line\\\0break").strip().splitlines():
        yield "{{ " + line.replace("\0", "\n") + " }}", VARIABLES
    for source in STATEMENTS:
        yield source, VARIABLES
    yield from chat_cases()
