"""The server over real TLS: nothing without the token, nothing but its own files, and an error that says what
to do."""

import asyncio
import json
import re
import socket
import ssl
import threading
import warnings

import pytest

from gr1_teleop import server as servers
from gr1_teleop.auth import HEADERS
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.pairing import TokenError
from gr1_teleop.server import Server, ServerError
from tests.teleop.fakes import FakeLink, FakeRecorder, FakeRobotView
from tests.teleop.https_client import HELLO, Client
from tests.teleop.test_episode_index import record

PATHS = (
    "/",
    "/desk",
    "/web/operator.js",
    "/web/",
    "/stream/static.jpg",
    "/api/episodes",
    "/api/episodes/x/thumbnail.jpg",
    "/no/such",
)


# Authentication


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "wrong-token-wrong-token"])
def test_nothing_is_served_without_the_token(rig, path, token):
    status, headers, body = Client(rig.server, token).get(path)
    assert status == 401 and b"Not paired" in body and len(body) < 1000
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    ("path", "page"),
    [("/", "/"), ("/desk", "/desk"), ("/api/episodes", "/"), ("//evil.example", "/"), ("/%5Cevil", "/")],
)
def test_the_url_with_the_token_gives_a_cookie_and_leads_to_one_of_our_pages_without_it(rig, path, page):
    status, headers, body = rig.client.get(f"{path}?token={rig.client.token}", cookie=False)
    assert (status, headers["Location"], body) == (303, page, b"")
    value, *flags = headers["Set-Cookie"].split("; ")
    assert value == rig.client.cookie["Cookie"]
    assert set(flags) == {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"}
    assert rig.client.get(page)[0] == 200


def test_ten_wrong_tokens_in_a_minute_and_even_the_right_one_is_not_looked_at(rig):
    for _ in range(10):
        assert rig.client.get("/?token=wrong", cookie=False)[0] == 401
    for token in ("wrong", rig.client.token):
        status, headers, body = rig.client.get(f"/?token={token}", cookie=False)
        assert (
            status == 429
            and headers["Retry-After"] == "60"
            and b"wait 60 s" in body
            and "Set-Cookie" not in headers
        )
    assert rig.client.get("/")[0] == 200, "who is paired stays so"


def test_guessing_cookies_is_limited_too(rig):
    guesser = Client(rig.server, "wrong-token-wrong-token")
    assert [guesser.get("/")[0] for _ in range(11)] == 10 * [401] + [429]


def test_requests_without_any_token_are_no_guesses(rig):
    for _ in range(15):
        assert rig.client.get("/favicon.ico", cookie=False)[0] == 401
    assert rig.client.get(f"/?token={rig.client.token}", cookie=False)[0] == 303


def test_every_answer_has_the_strict_headers(rig):
    token = rig.client.token
    answers = {
        200: rig.client.get("/"),
        303: rig.client.get(f"/?token={token}"),
        401: rig.client.get("/", cookie=False),
        403: rig.client.get("/ws/operator", Origin="https://evil.example"),
        404: rig.client.get("/no/such"),
        405: rig.client.get("/", method="POST"),
    }
    for status, (got, headers, _) in answers.items():
        assert got == status
        assert HEADERS.items() <= headers.items(), status
    policy = answers[200][1]["Content-Security-Policy"]
    assert (
        policy.startswith("default-src 'self';")
        and "frame-ancestors 'none'" in policy
        and "unsafe" not in policy
        and "http" not in policy
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_the_server_is_only_read_from(rig, method):
    assert rig.client.get("/api/episodes", method=method)[0] == 405


# Pages and images


def test_the_pages_and_their_files_are_served_with_their_types(rig):
    for page in ("/", "/desk"):
        status, headers, body = rig.client.get(page)
        assert (
            status == 200
            and headers["Content-Type"] == "text/html; charset=utf-8"
            and body.startswith(b"<!doctype html>")
        )
        for name in re.findall(rb'(?:src|href)="(/web/[^"]+)"', body):
            status, headers, _ = rig.client.get(name.decode())
            kinds = {
                "js": "text/javascript; charset=utf-8",
                "css": "text/css; charset=utf-8",
                "svg": "image/svg+xml; charset=utf-8",
            }
            assert status == 200 and headers["Content-Type"] == kinds[name.decode().rsplit(".")[-1]], name


@pytest.mark.parametrize(
    "path",
    [
        "/web/../server.py",
        "/web/%2e%2e/server.py",
        "/web/..%2fserver.py",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/....//server.py",
        "/web/..\\server.py",
        "/web/operator.js%00.css",
        "/web/.",
        "/../../../../etc/passwd",
        "/api/episodes/..%2f..%2fsecret/thumbnail.jpg",
        "/api/episodes/../secret/thumbnail.jpg",
        "/stream/..%2fstatic.jpg",
    ],
)
def test_no_path_leads_out_of_the_pages_and_the_bags(rig, path):
    record(rig.folder.parent / "secret")
    status, _, body = rig.client.get(path)
    assert status in (400, 404) and len(body) < 300


def test_the_newest_image_of_each_camera(rig):
    status, headers, body = rig.client.get("/stream/static.jpg?n=17")
    assert (status, headers["Content-Type"], headers["Cache-Control"], body) == (
        200,
        "image/jpeg",
        "no-store",
        rig.view.frames["static"],
    )
    rig.view.frames = {"static": b"\xff\xd8\xff newer"}
    assert rig.client.get("/stream/static.jpg")[2] == b"\xff\xd8\xff newer"
    status, _, body = rig.client.get("/stream/wrist.jpg")
    assert status == 404 and b"there are: static" in body


def test_the_list_of_episodes_with_their_thumbnails(rig):
    record(rig.folder / "20240501-141503-open_drawer")
    (record(rig.folder / "20240501-141603-open_drawer") / "metadata.yaml").unlink()
    rig.view.values["recorder"] |= {"state": "recording", "bag": "20240501-141603-open_drawer"}
    status, headers, body = rig.client.get("/api/episodes")
    told = json.loads(body)
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert {row["name"]: row["outcome"] for row in told["episodes"]} == {
        "20240501-141503-open_drawer": "success",
        "20240501-141603-open_drawer": "recording",
    }
    assert told["counts"] == {"lift the cup": {"success": 1}} and told["disk"]["free"] > 0
    status, headers, body = rig.client.get("/api/episodes/20240501-141503-open_drawer/thumbnail.jpg")
    assert status == 200 and headers["Content-Type"] == "image/jpeg" and body.startswith(b"\xff\xd8\xff")
    assert rig.client.get("/api/episodes/20240501-141603-open_drawer/thumbnail.jpg")[0] == 404


# Not HTTPS


@pytest.mark.parametrize(("path", "leads"), [("/", "/"), ("/desk", "/desk"), ("/?token=secret", "/")])
def test_plain_http_is_sent_to_https_without_the_token(rig, path, leads):
    port = rig.client.port
    answer = rig.client.plain(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()).decode()
    assert (
        answer.startswith("HTTP/1.1 307 ") and f"\r\nLocation: https://localhost:{port}{leads}\r\n" in answer
    )
    assert "https://" in answer.split("\r\n\r\n")[1] and "secret" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example/\x01\r\n\r\n",
        b"GET //evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_plain_http_that_does_not_say_where_it_leads_is_refused_in_words(rig, request_):
    answer = rig.client.plain(request_).decode()
    assert answer.startswith("HTTP/1.1 400 ") and "Location" not in answer and "https://" in answer


@pytest.mark.parametrize("data", [b"\x00\x01\x02\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"A" * 20_000])
def test_what_is_neither_tls_nor_http_gets_no_answer(rig, data):
    try:
        assert rig.client.plain(data) == b""
    except ConnectionError:
        pass
    assert rig.client.get("/")[0] == 200


def test_who_says_nothing_is_hung_up_on(rig, monkeypatch):
    monkeypatch.setattr(servers, "HANDSHAKE_TIMEOUT_S", 0.1)
    for first in (b"", b"\x16", b"G"):
        with socket.create_connection(("localhost", rig.client.port), timeout=5) as connection:
            connection.sendall(first)
            try:
                assert connection.recv(1) == b""
            except ConnectionError:
                pass
    monkeypatch.undo()
    assert rig.client.get("/")[0] == 200


def test_tls_older_than_1_2_is_refused(rig):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("localhost", rig.client.port), timeout=5) as connection,
        pytest.raises(OSError),
    ):
        context.wrap_socket(connection)


def test_one_address_cannot_take_all_connections(rig, monkeypatch):
    monkeypatch.setattr(servers, "_MAX_PER_ADDRESS", 3)

    async def crowd() -> None:
        async with (
            rig.client.socket("/ws/watch"),
            rig.client.socket("/ws/watch"),
            rig.client.socket("/ws/watch"),
        ):
            with pytest.raises(OSError):
                await asyncio.to_thread(rig.client.get, "/")

    asyncio.run(crowd())
    monkeypatch.setattr(
        servers, "_MAX_PER_ADDRESS", 4
    )  # the server may learn of the last goodbye a little later than we
    assert rig.client.get("/")[0] == 200


# Start and end


def test_closing_releases_the_clutch_tells_everybody_and_frees_the_port(rig, loopback_certificate):
    async def stay() -> None:
        async with rig.client.socket(hello=HELLO) as operator, rig.client.socket("/ws/watch") as watcher:
            await watcher.until(lambda message: message["type"] == "state")
            await asyncio.to_thread(rig.server.close)
            assert await operator.end() == (1001, "the server is closing")
            assert await watcher.end() == (1001, "the server is closing")

    asyncio.run(stay())
    assert rig.link.key is None and len(rig.link.ended) == 1
    rig.server.close()  # a second time changes nothing
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("localhost", rig.client.port), timeout=5)
    again = Server(
        FakeLink(),
        EpisodeControl(FakeRecorder(), rig.folder),
        FakeRobotView(),
        "127.0.0.1",
        rig.client.port,
        rig.client.token,
        certificate=loopback_certificate,
    )
    again.start()
    try:
        assert rig.client.get("/")[0] == 200, "a given token outlives a restart"
    finally:
        again.close()


def test_closing_does_not_wait_for_a_recorder_that_hangs(rig):
    rig.recorder.hold = threading.Event()

    async def press() -> None:
        async with rig.client.socket("/ws/watch") as watcher:
            await watcher.say({"type": "episode", "action": "start"})
            await watcher.until(
                lambda message: message["type"] == "state" and message["recording"]["busy"] == "starting"
            )
            await asyncio.wait_for(asyncio.to_thread(rig.server.close), 4)

    asyncio.run(press())
    rig.recorder.hold.set()


def test_a_port_in_use_is_named_with_the_remedy(rig, loopback_certificate):
    second = Server(
        FakeLink(),
        EpisodeControl(FakeRecorder(), rig.folder),
        FakeRobotView(),
        "127.0.0.1",
        rig.client.port,
        certificate=loopback_certificate,
    )
    with pytest.raises(
        ServerError,
        match=f"port {rig.client.port} of 127.0.0.1 is in use.*another teleoperation.*choose another port",
    ):
        second.start()
    second.close()


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("192.0.2.7", 0, "cannot listen on .*192.0.2.7.* or 0.0.0.0"),
        ("no-such-host.invalid", 0, "cannot listen on .*no-such-host.invalid"),
        ("127.0.0.1", 70000, "port 70000 .*0 .. 65535; the default is 8443"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named(rig, loopback_certificate, host, port, says):
    server = Server(
        FakeLink(),
        EpisodeControl(FakeRecorder(), rig.folder),
        FakeRobotView(),
        host,
        port,
        certificate=loopback_certificate,
    )
    with pytest.raises(ServerError, match=says):
        server.start()
    server.close()


def test_a_token_that_can_be_guessed_is_refused_before_anything_listens(rig, loopback_certificate):
    with pytest.raises(TokenError):
        Server(
            FakeLink(),
            EpisodeControl(FakeRecorder(), rig.folder),
            FakeRobotView(),
            "127.0.0.1",
            0,
            "robot",
            certificate=loopback_certificate,
        )


def test_the_pairing_text_leads_here(rig):
    assert rig.server.url == f"https://127.0.0.1:{rig.client.port}/?token={rig.client.token}"
    assert rig.server.url in rig.server.pairing_text


def test_on_all_addresses_the_url_names_one_that_a_headset_can_reach(rig, loopback_certificate, monkeypatch):
    for found, host in (
        (["192.168.1.20", "10.0.0.3"], "192.168.1.20"),
        (["2001:db8::7"], "[2001:db8::7]"),
        (["192.168.1.20", "2001:db8::7", "10.8.0.6"], "192.168.1.20"),
        ([], "127.0.0.1"),
    ):
        monkeypatch.setattr(servers, "addresses", lambda found=found: found)
        server = Server(
            FakeLink(),
            EpisodeControl(FakeRecorder(), rig.folder),
            FakeRobotView(),
            "0.0.0.0",
            8443,
            certificate=loopback_certificate,
        )
        assert server.url.startswith(f"https://{host}:8443/?token=")
        assert all(f"https://{one}:8443/?token=" in server.pairing_text for one in found if ":" not in one)
        server.close()
