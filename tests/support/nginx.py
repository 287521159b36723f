"""nginx as a cache server: PUT, GET and HEAD below a folder, on a free loopback port, as any user."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

CONFIG = """
{user}
worker_processes 2;
daemon off;
pid {root}/nginx.pid;
error_log {root}/error.log warn;
events {{ worker_connections 256; }}
http {{
  log_format short '$request_method $status $request_uri';
  access_log {root}/access.log short;
  client_body_temp_path {root}/upload;
  proxy_temp_path {root}/t1; fastcgi_temp_path {root}/t2; uwsgi_temp_path {root}/t3; scgi_temp_path {root}/t4;
  client_max_body_size 0;
  server {{
    listen 127.0.0.1:{port}{tls};
    root {root}/data;
    {auth}
    location / {{
      dav_methods PUT;
      create_full_put_path on;
      limit_except GET PUT {{ deny all; }}
      set $taken "";
      if (-f $request_filename) {{ set $taken $request_method; }}
      if ($taken = PUT) {{ return 412; }}
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """`auth`: the text of an htpasswd file; `certificate`: (certificate, key), files for TLS."""

    def __init__(self, root, auth=None, certificate=None):
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not program:
            raise SystemExit("no nginx: run tools/setup")
        self.program, self.root, self.port = program, pathlib.Path(root), free_port()
        (self.root / "data/store").mkdir(parents=True)
        # Workers that root starts give up being root; they must still get in.
        self.root.chmod(0o755)
        lines = ""
        if auth:
            (self.root / "htpasswd").write_text(auth)
            lines = f'auth_basic "cache"; auth_basic_user_file {self.root}/htpasswd;'
        if certificate:
            lines += f" ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};"
        (self.root / "nginx.conf").write_text(CONFIG.format(
            root=self.root, port=self.port, user="user root;" if os.getuid() == 0 else "", auth=lines,
            tls=" ssl" if certificate else ""))
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}/store"
        self.process = None

    def start(self):
        self.process = subprocess.Popen([self.program, "-p", self.root, "-c", self.root / "nginx.conf", "-e", self.root / "start.log"],
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"nginx does not start: {(self.root / 'start.log').read_text()}")

    def signal(self, number):
        """To the master and its workers: they are a process group."""
        os.killpg(self.process.pid, number)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            self.process.wait()

    def requests(self):
        log = self.root / "access.log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def files(self):
        return sorted(p for p in (self.root / "data").rglob("*") if p.is_file())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
