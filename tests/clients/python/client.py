"""The data plane as Python's clients see it: http.client and plain sockets for HTTP/1, httpx (with h2) for HTTP/2.

    client.py HTTP-URL HTTPS-URL

One line for each check, `ok` or `FAILED`; exit status 1 if any failed.
"""

import asyncio
import http.client
import json
import re
import socket
import ssl
import sys
from urllib.parse import urlsplit

import httpx

LIMIT = 60
ANYBODY = ssl.create_default_context()
ANYBODY.check_hostname = False
ANYBODY.verify_mode = ssl.CERT_NONE


def connect(url):
    """A connection of http.client."""
    at = urlsplit(url)
    if at.scheme == "https":
        return http.client.HTTPSConnection(at.hostname, at.port, timeout=LIMIT, context=ANYBODY)
    return http.client.HTTPConnection(at.hostname, at.port, timeout=LIMIT)


def open_socket(url):
    """A connection on which bytes are written by hand."""
    at = urlsplit(url)
    plain = socket.create_connection((at.hostname, at.port), timeout=LIMIT)
    return ANYBODY.wrap_socket(plain, server_hostname=at.hostname) if at.scheme == "https" else plain


def until_closed(connection):
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def same(have, want):
    assert have == want, f"{have!r} instead of {want!r}"


# HTTP/1 by http.client.


def keep_alive(url):
    connection = connect(url)
    connection.request("GET", "/head")
    before = connection.sock
    for number in range(50):
        if number:
            connection.request("GET", f"/head?{number}")
        answer = connection.getresponse()
        same(json.load(answer)["target"], f"/head?{number}" if number else "/head")
    same(connection.sock is before, True)


def head_has_no_body(url):
    connection = connect(url)
    for _ in range(3):
        connection.request("HEAD", "/")
        answer = connection.getresponse()
        same((answer.status, answer.length, answer.read()), (200, 0, b""))
        same(answer.getheader("content-length"), "22")


def chunked_upload(url):
    connection = connect(url)
    connection.request("POST", "/count", body=(b"x" * 10_000 for _ in range(300)), encode_chunked=True)
    same(connection.getresponse().read().split()[0], b"3000000")


def old_version(url):
    """HTTP/1.0: no chunks in the answer, and the connection ends with it."""
    with open_socket(url) as connection:
        connection.sendall(b"GET /bytes?n=100000 HTTP/1.0\r\n\r\n")
        head, body = until_closed(connection).split(b"\r\n\r\n", 1)
    same((head.startswith(b"HTTP/1.0 200"), b"chunked" in head, len(body)), (True, False, 100_000))


# HTTP/1 by hand.


def pipelining(url):
    with open_socket(url) as connection:
        connection.sendall(b"".join(b"GET /head?%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(40)))
        connection.sendall(b"GET /head?last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        targets = re.findall(rb'"target":"([^"]*)"', until_closed(connection))
    same(targets, [b"/head?%d" % number for number in range(40)] + [b"/head?last"])


def half_closed(url):
    """A client that has said everything, and listens on (TLS has no such state in Python)."""
    if url.startswith("https"):
        return
    with open_socket(url) as connection:
        connection.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        connection.shutdown(socket.SHUT_WR)
        same(b"\r\n\r\n5 " in until_closed(connection), True)


def expect_continue(url):
    with open_socket(url) as connection:
        connection.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        same(connection.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"hello")
        same(b"\r\n\r\n5 " in until_closed(connection), True)


def early_answer(url):
    with open_socket(url) as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nstart")
        answer = connection.recv(65536)
    same(answer[:12], b"HTTP/1.1 403")


def trailers(url):
    with open_socket(url) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\nTrailer: X-Sum\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: up\r\n\r\n"
        )
        answer = until_closed(connection)
    same(answer.lower().endswith(b"2\r\nhi\r\n0\r\nx-sum: up\r\n\r\n"), True)


def in_small_pieces(url):
    request = b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with open_socket(url) as connection:
        for byte in request:
            connection.sendall(bytes([byte]))
        same(b"\r\n\r\n3 " in until_closed(connection), True)


# httpx, by HTTP/1.1 and HTTP/2.


def httpx_requests(url, **protocol):
    version = "HTTP/2" if protocol.get("http2") else "HTTP/1.1"
    with httpx.Client(verify=ANYBODY, timeout=LIMIT, base_url=url, **protocol) as client:
        for _ in range(20):
            answer = client.get("/head", params={"a": "b"})
            same((answer.status_code, answer.http_version, answer.json()["target"]), (200, version, "/head?a=b"))
        answer = client.post("/count", content=(b"x" * 10_000 for _ in range(300)))
        same((answer.http_version, answer.text.split()[0]), (version, "3000000"))
        same(len(client.get("/bytes?n=3000000").content), 3_000_000)
        same(client.head("/").headers["content-length"], "22")


def httpx_at_once(url, **protocol):
    async def run():
        async with httpx.AsyncClient(verify=ANYBODY, timeout=LIMIT, base_url=url, **protocol) as client:
            return await asyncio.gather(*(client.get(f"/bytes?n={50_000 + number}") for number in range(60)))

    same([len(answer.content) for answer in asyncio.run(run())], [50_000 + number for number in range(60)])


HTTP1 = [
    keep_alive, head_has_no_body, chunked_upload, old_version, pipelining, half_closed, expect_continue, early_answer,
    trailers, in_small_pieces,
]


def main(plain, secure):
    checks = [(f"{name} {check.__name__}", check, url, {}) for name, url in (("h1", plain), ("h1-tls", secure)) for check in HTTP1]
    for name, url, protocol in [
        ("h1", plain, {}), ("h1-tls", secure, {}),
        ("h2c", plain, {"http1": False, "http2": True}), ("h2", secure, {"http1": False, "http2": True}),
    ]:
        checks += [(f"{name} {check.__name__}", check, url, protocol) for check in (httpx_requests, httpx_at_once)]
    failed = 0
    for name, check, url, protocol in checks:
        verdict = "ok"
        try:
            check(url, **protocol)
        except Exception as problem:  # whatever it is, it is this check's failure
            failed += 1
            verdict = f"FAILED {type(problem).__name__}: {problem}"
        print(f"python {name}: {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
