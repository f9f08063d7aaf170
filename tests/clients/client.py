"""http.client, urllib and (where it is installed) requests, as an application would use them."""

import hashlib
import http.client
import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

base = sys.argv[1]
authority = base.removeprefix("http://")


def show(name):
    print("ok", name)


connection = http.client.HTTPConnection(authority, timeout=20)
for _ in range(3):
    connection.request("GET", "/api/v2/users/me")
    response = connection.getresponse()
    assert response.status == 200, response.status
    json.loads(response.read())
socket = connection.sock
connection.request("POST", "/api/v2/echo", body=b"x" * 100_000, headers={"Content-Type": "text/plain"})
response = connection.getresponse()
assert json.loads(response.read())["body"]["bytes"] == 100_000
assert connection.sock is socket, "the connection was not kept"
connection.request("PUT", "/api/v2/upload", body=(b"piece" for _ in range(1000)), encode_chunked=True,
                   headers={"Transfer-Encoding": "chunked"})
response = connection.getresponse()
summary = json.loads(response.read())
assert summary["bytes"] == 5000, summary
assert summary["sha256"] == hashlib.sha256(b"piece" * 1000).hexdigest()
connection.request("HEAD", "/api/v2/users/me")
response = connection.getresponse()
assert response.status == 200 and response.read() == b""
connection.request("GET", "/api/v2/long-poll?ms=50")
response = connection.getresponse()
assert response.status == 304 and response.read() == b""
connection.request("GET", "/api/v2/large?bytes=3000000&framing=chunked")
response = connection.getresponse()
assert len(response.read()) == 3_000_000
connection.close()
show("http.client")

with urllib.request.urlopen(base + "/api/v2/users/me", timeout=20) as response:
    assert response.status == 200
try:
    urllib.request.urlopen(base + "/api/v2/status/404", timeout=20)
except urllib.error.HTTPError as error:
    assert error.code == 404, error.code
else:
    raise AssertionError("404 was no error")
show("urllib")

try:
    import requests
except ImportError:
    print("skipped: Python's requests is not installed")
    sys.exit()

with requests.Session() as session:
    session.trust_env = False
    assert session.get(base + "/api/v2/users/me", timeout=20).json()
    # An application's own Authorization is replaced.
    own = session.get(base + "/api/v2/echo", auth=("legacy", "password"), timeout=20).json()
    assert own["client"] == "demo-client", own
    posted = session.post(base + "/api/v2/echo?a=b%2Fc", json={"key": "value"}, timeout=20).json()
    assert posted["target"] == "/api/v2/echo?a=b%2Fc" and posted["body"]["bytes"] > 0
    streamed = session.post(base + "/api/v2/upload", data=(b"piece" for _ in range(1000)), timeout=20)
    assert streamed.json()["bytes"] == 5000
    assert session.get(base + "/api/v2/gzip", timeout=20).json()["compressed"]
    moved = session.get(base + "/api/v2/redirect", allow_redirects=False, timeout=20)
    assert moved.is_redirect, moved.status_code
    with session.get(base + "/api/v2/events?count=3&interval_ms=10", stream=True, timeout=20) as events:
        lines = [line for line in events.iter_lines() if line.startswith(b"data:")]
        assert len(lines) == 3, lines

with ThreadPoolExecutor(16) as pool:
    statuses = pool.map(lambda _: requests.get(base + "/api/v2/users/me", timeout=20).status_code, range(100))
    assert set(statuses) == {200}
show("requests")
