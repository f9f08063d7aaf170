"""The systems under comparison, each configured to do the same job: clear-text HTTP/1.1 in, a
bearer token added, kept-alive connections to the upstream out, its TLS 1.3 certificate verified.
One worker each.
"""

import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import envoy, programs
from .processes import Child, Failed, wait_until

TOKEN = "bench-token-0123456789abcdefghijklmnopqrstuvwxyz-bench-token-0123456789abcdefghijklmnopqrstuvwxyz"
BEARER = f"Bearer {TOKEN}"


def free_port():
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path="/1k", authorization=None):
    """The status and the size of one answer; 0 where there is none."""
    fields = {"Host": "localhost"} | ({"Authorization": authorization} if authorization else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=fields)
    # No proxy of the environment's: this is about ours.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, len(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, 0
    except OSError:
        return 0, 0


@dataclass
class Upstream:
    """The running upstream."""

    child: Child
    plain_port: int
    tls_port: int
    ca_file: Path

    @classmethod
    def start(cls, children, binary, core, *protocols):
        """`protocols`: `h2` to offer HTTP/2 by ALPN."""
        plain_port, tls_port = free_port(), free_port()
        ca_file = children.directory / f"ca-{plain_port}.pem"
        arguments = [binary, plain_port, tls_port, ca_file, *protocols]
        child = children.start(f"upstream-{plain_port}", arguments, {core})
        wait_until("listening", lambda: ask(plain_port, authorization=BEARER) == (200, 1024), child)
        if ask(plain_port)[0] != 401:
            raise Failed("the upstream accepts requests without the bearer: nothing would be proven")
        return cls(child, plain_port, tls_port, ca_file)

    def port(self, secure):
        return self.tls_port if secure else self.plain_port


@dataclass
class Started:
    """One running proxy."""

    child: Child
    port: int
    # What the client has to send itself, because this system does not.
    authorization: str | None


class System:
    """A proxy that can be started. Subclasses say how."""

    name = ""
    label = ""
    does_the_job = True
    # The most at once. Some reserve memory for each that might come.
    clients = 5_500

    def start(self, children, upstream, *, secure, on):
        """Starts it on the cores `on` and waits until it answers."""
        port = free_port()
        name = f"{self.name}-{port}"
        directory = children.directory / name
        directory.mkdir()
        arguments, environment = self.command(directory, port, upstream, secure)
        child = children.start(name, arguments, on, environment)
        started = Started(child, port, None if self.does_the_job else BEARER)
        wait_until("answering", lambda: ask(port, authorization=started.authorization) == (200, 1024), child)
        return started

    def command(self, directory, port, upstream, secure):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError


class Ours(System):
    """cxone-proxy with its defaults: guard, metrics, replay, limits and admin listener on."""

    def __init__(self, name, binary):
        self.name = name
        self.label = f"{name} (this proxy)"
        self.binary = binary

    def command(self, _directory, port, upstream, secure):
        scheme = "https" if secure else "http"
        arguments = [self.binary, "serve", "--listen", f"127.0.0.1:{port}"]
        arguments += ["--admin-listen", f"127.0.0.1:{free_port()}"]
        arguments += ["--base-url", f"{scheme}://localhost:{upstream.port(secure)}"]
        arguments += ["--ca-file", upstream.ca_file, "--client-id", "bench"]
        return arguments, {"CXONE_CLIENT_SECRET": "bench-secret"}

    def version(self):
        return programs.version(self.binary)


class Nginx(System):
    """nginx, with a fixed token: it has no OAuth 2.0 client."""

    name = "nginx"
    label = "nginx"

    def __init__(self):
        self.binary = programs.find("nginx")

    def command(self, directory, port, upstream, secure):
        own = "\n".join(
            f"{kind}_temp_path {directory}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        tls = f"""proxy_ssl_verify on; proxy_ssl_trusted_certificate {upstream.ca_file};
            proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;"""
        http = f"""http {{
            access_log off; keepalive_requests 100000000; {own}
            upstream u {{ server 127.0.0.1:{upstream.port(secure)}; keepalive 1024; keepalive_requests 100000000; }}
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                location / {{
                    proxy_pass {"https" if secure else "http"}://u;
                    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
                    proxy_set_header Authorization "{BEARER}"; client_max_body_size 0;
                    {tls if secure else ""}
                }}
            }}
        }}"""
        return self.run(directory, http)

    def run(self, directory, parts, modules=""):
        config = directory / "nginx.conf"
        config.write_text(
            f"{modules} worker_processes 1; daemon off; pid {directory}/pid; error_log {directory}/error;\n"
            f"events {{ worker_connections {2 * self.clients + 100}; }}\n{parts}\n"
        )
        return [self.binary, "-e", directory / "error", "-c", config], {}

    def version(self):
        return programs.version(self.binary)


class NginxStream(Nginx):
    """nginx as a forwarder of bytes: knows no HTTP, adds no token, only TLS."""

    name = "nginx-stream"
    label = "nginx stream, layer 4"
    does_the_job = False

    def __init__(self):
        super().__init__()
        self.module = programs.find_stream_module()

    def command(self, directory, port, upstream, secure):
        tls = f"""proxy_ssl on; proxy_ssl_verify on; proxy_ssl_trusted_certificate {upstream.ca_file};
            proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;"""
        stream = f"""stream {{ server {{
            listen 127.0.0.1:{port} backlog=4096;
            proxy_pass 127.0.0.1:{upstream.port(secure)}; {tls if secure else ""}
        }} }}"""
        return self.run(directory, stream, f"load_module {self.module};")


class Haproxy(System):
    """HAProxy, with a fixed token."""

    name = "haproxy"
    label = "HAProxy"

    def __init__(self):
        self.binary = programs.find("haproxy")

    def command(self, directory, port, upstream, secure):
        tls = f"ssl verify required ca-file {upstream.ca_file} sni str(localhost) verifyhost localhost ssl-min-ver TLSv1.3"
        config = directory / "haproxy.cfg"
        config.write_text(f"""global
  nbthread 1
  maxconn {self.clients}
defaults
  mode http
  timeout connect 10s
  timeout client 5m
  timeout server 5m
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  default_backend b
backend b
  http-request set-header Authorization "{BEARER}"
  http-request set-header Host localhost
  server s 127.0.0.1:{upstream.port(secure)} {tls if secure else ""}
""")
        return [self.binary, "-db", "-f", config], {}

    def version(self):
        return programs.version(self.binary)


class Envoy(System):
    """Envoy with its own OAuth 2.0 client: the credential injector's client credentials."""

    name = "envoy"
    label = "Envoy, credential_injector"

    def __init__(self, directory):
        self.binary = programs.find_envoy(directory)

    def command(self, directory, port, upstream, secure):
        config = directory / "envoy.json"
        config.write_text(json.dumps(envoy.configuration(port, upstream, secure, self.clients)))
        # Without a shared memory region of its own, several of them cannot run side by side.
        return [self.binary, "-c", config, "--concurrency", 1, "--disable-hot-restart", "-l", "warn"], {}

    def version(self):
        return programs.version(self.binary)
