"""Small templates over everything the interpreter has, and the variables they see."""

import os

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

# One expression a line; \n in it stands for itself.
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden_expressions.txt"), encoding="utf-8") as file:
    EXPRESSIONS = file.read()


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
