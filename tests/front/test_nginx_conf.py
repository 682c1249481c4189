"""nginx.conf as text: what it says, that it is deterministic, and that values stay values."""

import dataclasses
import hashlib
import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdsup.errors import SupervisorError
from pdsup.front.nginx_conf import Settings, Upstream, listed, render, status_url

SETTINGS = Settings(
    listen="10.0.0.1",
    ipv6=False,
    port=8000,
    status_address="127.0.0.1",
    status_port=8001,
    prefix="/run/pdsup/nginx",
    user=None,
    keepalive_timeout="600s",
    stream_timeout="24h",
    client_max_body_size="45m",
    client_header_size="32k",
    proxy_buffer_size="32k",
    refused_paths=("/workers",),
    descriptors=4096,
    worker_connections=1024,
    balance="round-robin",
    session_header=None,
    spares_idle=True,
)
ROUTER = Upstream("router-0", "10.0.0.2", 30080)
TOKEN = re.compile(r'\s*(?:#[^\n]*\n|([;{}])|"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([^\s;{}"\']+))')


def parse(text: str) -> list:
    """nginx's grammar: a directive is a list of words, a block ends with a list of directives."""
    stack, words, position = [[]], [], 0
    while text[position:].strip():
        found = TOKEN.match(text, position)
        position = found.end()
        mark, *word = found.groups()
        if mark == ";":
            stack[-1].append(words)
        elif mark == "{":
            stack.append([])
            stack[-2].append([*words, stack[-1]])
        elif mark == "}":
            stack.pop()
        else:
            words = words + [w for w in word if w is not None]
            continue
        words = []
    assert len(stack) == 1 and not words
    return stack[0]


def find(tree: list, *path: str) -> list:
    """Every directive at a path of names."""
    for name in path[:-1]:
        tree = [inner for block in tree if block[0] == name for inner in block[-1]]
    return [directive for directive in tree if directive[0] == path[-1]]


def rendered(*upstreams: Upstream, **changes) -> list:
    return parse(render(dataclasses.replace(SETTINGS, **changes), upstreams).text)


routers = st.sets(
    st.builds(
        Upstream,
        st.from_regex(r"router-[0-9]{1,3}", fullmatch=True),
        st.ip_addresses().map(str),
        st.integers(1, 65535),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(routers, st.randoms())
def test_the_same_routers_in_any_order_give_the_same_bytes(some, random):
    shuffled = list(some) * 2
    random.shuffle(shuffled)
    assert render(SETTINGS, shuffled) == render(SETTINGS, some)


@settings(max_examples=25, deadline=None)
@given(routers, routers)
def test_two_sets_of_routers_have_one_generation_only_if_they_are_equal(some, others):
    same = render(SETTINGS, some).generation == render(SETTINGS, others).generation
    assert same == (some == others)


def test_the_generation_is_the_digest_of_the_text_without_it_and_stands_in_it():
    made = render(SETTINGS, [ROUTER])
    body = made.text.replace(f'"{made.generation}"', '""')
    assert made.generation == hashlib.sha256(body.encode()).hexdigest()[:12]
    status = find(parse(made.text), "http", "server")[-1][-1]
    assert ["location", "=", "/generation", [["return", "200", made.generation]]] in status


def test_routers_are_listed_once_and_sorted():
    others = [Upstream("router-1", "node-1.cluster", 30080), Upstream("router-2", "fd00::3", 31)]
    tree = rendered(others[1], ROUTER, others[0], ROUTER)
    assert find(tree, "http", "upstream", "server") == [
        ["server", "10.0.0.2:30080", "max_fails=0"],
        ["server", "node-1.cluster:30080", "max_fails=0"],
        ["server", "[fd00::3]:31", "max_fails=0"],
    ]


def everything(tree):
    """The location of everything that clients ask for."""
    (*_, server), _ = find(tree, "http", "server")
    return find(server, "location")[-1][-1]


def test_with_routers_the_front_passes_every_path_on_without_buffers():
    location = everything(rendered(ROUTER))
    for directive in (
        ["proxy_pass", "http://routers"],
        ["proxy_http_version", "1.1"],
        ["proxy_set_header", "Upgrade", "$upgrade"],
        ["proxy_set_header", "Connection", "$connection_header"],
        ["proxy_buffering", "off"],
        ["proxy_request_buffering", "off"],
        ["proxy_connect_timeout", "2s"],
        ["proxy_read_timeout", "24h"],
        ["proxy_send_timeout", "24h"],
        ["proxy_next_upstream", "error", "timeout"],
    ):
        assert directive in location


def test_the_balance_of_requests_can_be_chosen():
    for changes, expected in (
        ({}, []),
        ({"balance": "least-conn"}, [["least_conn"]]),
        ({"session_header": "X-Dynamo-Session-ID"},
         [["hash", "$http_x_dynamo_session_id", "consistent"]]),
        ({"session_header": "session_id"}, [["hash", "$http_session_id", "consistent"]]),
        ({"session_header": "Session", "balance": "least-conn"},
         [["hash", "$http_session", "consistent"]]),
    ):  # fmt: skip
        (*_, upstream), *_ = find(rendered(ROUTER, **changes), "http", "upstream")
        assert [d for d in upstream if d[0] in ("hash", "least_conn")] == expected


def test_a_stream_may_stand_still_for_as_long_as_is_wanted():
    tree = rendered(ROUTER, stream_timeout="90m")
    server = find(tree, "http", "server")[0][-1]
    inside = everything(tree)
    timeouts = dict(words for words in server + inside if len(words) == 2)
    names = ("client_body_timeout", "send_timeout", "proxy_read_timeout", "proxy_send_timeout")
    assert {timeouts[name] for name in names} == {"90m"}


def test_connections_of_clients_are_kept_only_where_a_reload_loses_no_request_on_them():
    kept, closed = (find(rendered(spares_idle=can), "http", "server")[0][-1] for can in (1, 0))
    assert ["keepalive_timeout", "600s"] in kept
    assert ["keepalive_min_timeout", "200ms"] in kept
    assert ["keepalive_timeout", "0"] in closed
    assert find(closed, "keepalive_min_timeout") == []


def test_a_worker_process_may_open_as_much_as_the_agent():
    assert find(rendered(descriptors=65536), "worker_rlimit_nofile") == [
        ["worker_rlimit_nofile", "65536"]
    ]


def test_without_routers_the_front_has_no_upstream_and_says_so_as_openai_does():
    tree = rendered()
    assert find(tree, "http", "upstream") == []
    assert find(everything(tree), "return") == [["return", "503"]]


# Each error for which nginx has a page of its own, in HTML, and 431.
OF_NGINX = [
    *range(400, 407),
    *range(408, 418),
    421,
    429,
    431,
    *range(494, 498),
    *range(500, 506),
    507,
]


def test_every_error_of_nginx_itself_is_json_as_openai_writes_it():
    for tree in (rendered(), rendered(ROUTER)):
        (*_, server), _ = find(tree, "http", "server")
        pages = {path: numbers for _, *numbers, path in find(server, "error_page")}
        every = [int(number) for numbers in pages.values() for number in numbers]
        assert sorted(every) == OF_NGINX
        for words in find(server, "location")[: len(pages)]:
            location, (first, *more) = words[-1], pages[words[2]]
            ((_, status, body),) = find(location, "return")
            assert more or status == {"494": "400"}.get(first, first)
            assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
            assert ["internal"] in location
            waits = ["add_header", "Retry-After", "2", "always"] in location
            assert waits == (status == "503")


@pytest.mark.parametrize(
    ("listen", "ipv6", "endpoints"),
    [
        ("10.0.0.1", True, ["10.0.0.1:8000"]),
        ("fd00::1", False, ["[fd00::1]:8000"]),
        ("node-0", False, ["node-0:8000"]),
        (None, False, ["0.0.0.0:8000"]),
        (None, True, ["0.0.0.0:8000", "[::]:8000"]),
    ],
)
def test_the_front_listens_where_it_is_told(listen, ipv6, endpoints):
    public, status = find(rendered(listen=listen, ipv6=ipv6), "http", "server")
    assert [words[1] for words in find(public[-1], "listen")] == endpoints
    assert find(status[-1], "listen") == [["listen", "127.0.0.1:8001"]]


def test_the_status_url_brackets_an_ipv6_address():
    changed = dataclasses.replace(SETTINGS, status_address="::1")
    assert status_url(changed, "/healthz") == "http://[::1]:8001/healthz"


def test_the_pid_and_everything_temporary_lie_below_the_prefix():
    tree = rendered(prefix="/a b'<&{;}#é")
    paths = find(tree, "pid") + [d for d in find(tree, "http")[0][-1] if d[0].endswith("_path")]
    assert len(paths) == 6
    assert all(path.startswith("/a b'<&{;}#é/") for _, path in paths)


def test_workers_have_another_user_only_when_asked_for():
    assert find(rendered(), "user") == []
    assert find(rendered(user=("alice", "hpc")), "user") == [["user", "alice", "hpc"]]


def skeleton(tree: list) -> list:
    """Names and numbers of words only: what a value must not change."""
    return [
        [directive[0], len(directive), *(skeleton(w) for w in directive if isinstance(w, list))]
        for directive in tree
    ]


HOSTILE = st.one_of(
    st.text(),
    st.text("\"'\\$;{}#\n\r\t /:.%a1[]"),
    st.sampled_from(["a; } location / { return 200 x; #", "1s; error_log /x", "::1%; }", "x\n"]),
)


@pytest.mark.parametrize(
    "field",
    [
        *("listen", "status_address", "prefix", "keepalive_timeout", "client_max_body_size"),
        *("user", "router name", "router address", "stream_timeout", "session_header"),
        *("client_header_size", "proxy_buffer_size", "refused path"),
    ],
)
@settings(max_examples=25, deadline=None)
@given(value=HOSTILE)
def test_no_value_changes_the_structure(field, value):
    router, changes = ROUTER, {"user": ("alice", "hpc"), "session_header": "X-Session-ID"}
    if field == "prefix":
        changes["prefix"] = "/" + value
    elif field == "user":
        changes["user"] = (value, "hpc")
    elif field == "refused path":
        changes["refused_paths"] = (value,)
    elif field.startswith("router"):
        router = dataclasses.replace(ROUTER, **{field.removeprefix("router "): value})
    else:
        changes[field] = value
    try:
        tree = rendered(router, **changes)
    except SupervisorError as error:
        assert str(error).startswith("cannot render nginx.conf: ")
        return
    plain = rendered(ROUTER, user=("alice", "hpc"), session_header="X-Session-ID")
    assert skeleton(tree) == skeleton(plain)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"listen": "unix:/tmp/x"}, "listen address 'unix:/tmp/x' is not a host name or an IP"),
        ({"status_address": "fe80::1%eth0"}, "status address 'fe80::1%eth0' is not an IPv6"),
        ({"port": 0}, "port of the listen address 0 is not 1 to 65535"),
        ({"prefix": "run"}, "prefix 'run' is not an absolute path"),
        ({"prefix": "/a\nb"}, "prefix '/a\\nb' is not an absolute path"),
        ({"prefix": '/a"b'}, "prefix '/a\"b' is not an absolute path"),
        ({"keepalive_timeout": "10 min"}, "keepalive_timeout '10 min' is not like 600s"),
        ({"client_max_body_size": "45MB"}, "client_max_body_size '45MB' is not like 45m"),
        ({"stream_timeout": "1 day"}, "stream_timeout '1 day' is not like 24h"),
        ({"session_header": "X Y"}, "session header 'X Y' is not like X-Session-ID"),
        ({"client_header_size": "0k"}, "client_header_size '0k' is not like 32k"),
        ({"refused_paths": ("/",)}, "refused path '/' is not like /workers"),
        ({"proxy_buffer_size": "1m"}, "proxy_buffer_size '1m' is not like 32k"),
        ({"descriptors": 0}, "descriptors 0 is not at least 1"),
        ({"user": ("a;b", "c")}, "user 'a;b' is not a plain name"),
        ({"worker_connections": 0}, "worker_connections 0 is not at least 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(changes, told):
    with pytest.raises(SupervisorError, match="cannot render nginx.conf: " + re.escape(told)):
        rendered(ROUTER, **changes)


@pytest.mark.parametrize(
    ("router", "told"),
    [
        (Upstream("r;", "a", 1), "router 'r;' is not a plain name"),
        (Upstream("r", "a b", 1), "address of r 'a b' is not a host name"),
        (Upstream("r", "a", 65536), "port of the address of r 65536 is not 1 to 65535"),
    ],
)
def test_a_wrong_router_is_named_with_what_was_expected(router, told):
    with pytest.raises(SupervisorError, match="cannot render nginx.conf: " + re.escape(told)):
        rendered(router)


@pytest.mark.processes
def test_importing_the_module_does_not_import_the_template_library():
    code = "import sys, pdsup.front.nginx_conf; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("session", [None, "X-Session-ID"])
def test_the_routers_of_a_configuration_can_be_read_from_it(session):
    routers = frozenset({ROUTER, Upstream("router-1", "fd00::1", 1), Upstream("r.2", "node3", 2)})
    chosen = dataclasses.replace(SETTINGS, session_header=session)
    assert listed(render(chosen, routers).text) == routers
    assert listed(render(chosen, ()).text) == frozenset()
    assert listed("what somebody wrote") == frozenset()
